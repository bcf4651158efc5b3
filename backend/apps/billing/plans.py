"""The catalogue: versions are added, never changed."""

from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet

from apps.billing.models import Plan, PlanVersion

FREE = "free"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a version says. `recognitions` are a month's."""

    price: Decimal
    months: int
    recognitions: int
    trial_days: int = 0


FIRST_CATALOGUE = {
    FREE: Terms(price=Decimal("0.00"), months=0, recognitions=30),
    "month": Terms(price=Decimal("299.00"), months=1, recognitions=600, trial_days=7),
    "year": Terms(price=Decimal("2990.00"), months=12, recognitions=600),
}


class UnknownPlan(Exception):
    """There is no such plan, or it is not for sale."""


def ensure_catalogue() -> int:
    """Add the first version of each plan that has none; returns how many were added."""
    added = 0
    for code, terms in FIRST_CATALOGUE.items():
        if not PlanVersion.objects.filter(plan=code).exists():
            add_version(code=code, terms=terms)
            added += 1
    return added


def add_version(*, code: str, terms: Terms) -> PlanVersion:
    """Sell the plan on these terms from now on. Who bought an earlier version keeps it."""
    with transaction.atomic():
        Plan.objects.get_or_create(code=code)
        plan = Plan.objects.select_for_update(no_key=True).get(code=code)
        return PlanVersion.objects.create(
            plan=plan, number=plan.versions.count() + 1, **vars(terms)
        )


def current_versions() -> QuerySet[PlanVersion]:
    """The newest version of each plan, the cheapest first."""
    newest = PlanVersion.objects.order_by("plan", "-number").distinct("plan")
    return PlanVersion.objects.filter(pk__in=newest.values("pk")).order_by("price")


def version_for_sale(*, code: str) -> PlanVersion:
    """The version of the plan that is sold now. Raises UnknownPlan."""
    version = current_versions().filter(plan=code, price__gt=0).first()
    if version is None:
        raise UnknownPlan(code)
    return version
