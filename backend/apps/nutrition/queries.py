"""What reads foods, the diary and targets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Max

from apps.accounts.models import User
from apps.accounts.queries import weight_on
from apps.accounts.services import today_of
from apps.nutrition.formulas import Body
from apps.nutrition.models import NUTRIENTS, Food, Meal, Nutrients, Targets
from apps.nutrition.search import seen_foods

RECENT = timedelta(days=90)


@dataclass(frozen=True)
class Day:
    """A day of the diary; `targets` is None where there were none."""

    date: date
    meals: list[Meal]
    targets: Targets | None

    @property
    def totals(self) -> dict[str, Decimal]:
        return sum_nutrients(item for meal in self.meals for item in meal.items.all())

    @property
    def left(self) -> dict[str, Decimal] | None:
        """What the targets leave to eat; negative where more was eaten."""
        if self.targets is None:
            return None
        totals = self.totals
        return {name: getattr(self.targets, name) - totals[name] for name in NUTRIENTS}


def get_day(*, user: User, day: date) -> Day:
    """The meals that were eaten on this day where their eater then was; three queries."""
    meals = (
        Meal.objects.filter(user=user, date=day)
        .order_by("eaten_at", "pk")
        .prefetch_related("items")
    )
    return Day(date=day, meals=list(meals), targets=get_targets(user=user, day=day))


def get_targets(*, user: User, day: date) -> Targets | None:
    """The targets that hold on the day, or None."""
    newest = Targets.objects.filter(user=user, from_date__lte=day).order_by("-from_date").first()
    return newest if newest is not None and newest.energy_kcal is not None else None


def read_body(user: User) -> tuple[Body | None, list[str]]:
    """What targets are computed from, and what the profile lacks for that; one query."""
    today = today_of(user)
    weight_kg = weight_on(user=user, day=today)
    known = {
        "sex": user.sex,
        "birth_year": user.birth_year,
        "height_cm": user.height_cm,
        "weight_kg": weight_kg,
    }
    missing = [name for name, value in known.items() if not value]
    if not user.birth_year or not user.height_cm or not weight_kg or missing:
        return None, missing
    body = Body(
        sex=user.sex,
        age=today.year - user.birth_year,
        height_cm=user.height_cm,
        weight_kg=weight_kg,
        activity=user.activity,
        goal=user.goal,
    )
    return body, []


def get_recent_foods(*, user: User, limit: int) -> list[Food]:
    """The foods that were eaten of late, the latest first."""
    since = today_of(user) - RECENT
    eaten = seen_foods(user).filter(mealitem__meal__user=user, mealitem__meal__date__gte=since)
    latest = eaten.annotate(latest=Max("mealitem__meal__eaten_at")).order_by("-latest", "pk")
    return list(latest[:limit])


def get_favourite_foods(*, user: User, limit: int) -> list[Food]:
    """The user's favourites, the newest first."""
    return list(seen_foods(user).filter(favourites__user=user).order_by("-favourites__pk")[:limit])


def get_own_foods(*, user: User, limit: int) -> list[Food]:
    """The user's own foods, the newest first."""
    return list(seen_foods(user).filter(owner=user).order_by("-pk")[:limit])


@dataclass(frozen=True)
class NamedMeasure:
    """A household measure: one `name` of the food weighs `grams`."""

    name: str
    grams: Decimal


def measures_of(food: Food) -> Sequence[NamedMeasure]:
    """The measures by which the food may be counted, each name once; "each" is one piece."""
    named: dict[str, Decimal] = {}
    if food.grams_each:
        named["each"] = food.grams_each
    for measure in sorted(food.measures.all(), key=lambda measure: measure.position):
        named.setdefault(measure.name, measure.grams / measure.amount)
    return [NamedMeasure(name, grams) for name, grams in named.items()]


def sum_nutrients(items: Iterable[Nutrients]) -> dict[str, Decimal]:
    totals = dict.fromkeys(NUTRIENTS, Decimal(0))
    for item in items:
        for name in NUTRIENTS:
            totals[name] += getattr(item, name)
    return totals
