"""What was paid, and so what somebody may have."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import DateTimeField, F, Q, Value
from django.utils import timezone

from apps.accounts.models import User
from apps.billing.arithmetic import calendar_month, month_around
from apps.billing.models import Customer, Payment, PlanVersion, Subscription, Term
from apps.billing.plans import FIRST_CATALOGUE, FREE

FREE_RECOGNITIONS = FIRST_CATALOGUE[FREE].recognitions


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """So many recognitions may be delivered from `begins` until before `ends`."""

    plan: str
    recognitions: int
    begins: datetime
    ends: datetime


def allowance_of(*, user: User, at: datetime | None = None) -> Allowance:
    """What the user may have at that moment, now by default. Nothing else decides it.

    A paid plan's months are counted from the beginning of what was paid, the free plan's are
    the calendar's. One query.
    """
    moment = at or timezone.now()
    columns = ("plan_code", "recognitions", "begins", "ends", "served_until")
    paid = (
        Term.objects.filter(subscription__customer__user=user, begins__lte=moment)
        .filter(Q(ends__gt=moment) | Q(subscription__served_until__gt=moment), moved_to=None)
        .order_by("-begins")
        .annotate(
            plan_code=F("version__plan"),
            recognitions=F("version__recognitions"),
            served_until=F("subscription__served_until"),
        )
        .values_list(*columns)[:1]
    )
    nothing = Value(None, DateTimeField())
    free = (
        PlanVersion.objects.filter(plan=FREE)
        .order_by("-number")
        .annotate(plan_code=F("plan"), begins=nothing, ends=nothing, served_until=nothing)
        .values_list(*columns)[:1]
    )
    rows = {row[2] is not None: row for row in paid.union(free, all=True)}
    if True not in rows:
        recognitions = rows[False][1] if rows else FREE_RECOGNITIONS
        begins, ends = calendar_month(moment)
        return Allowance(plan=FREE, recognitions=recognitions, begins=begins, ends=ends)
    plan, recognitions, term_begins, term_ends, served_until = rows[True]
    if moment >= term_ends:  # the grace period: its days belong to the period that is owed
        term_begins, term_ends = term_ends, served_until
    begins, ends = month_around(moment, term_begins)
    return Allowance(plan=plan, recognitions=recognitions, begins=begins, ends=min(ends, term_ends))


def subscription_of_user(user: User) -> Subscription | None:
    return (
        Subscription.objects.select_related("version", "next_version")
        .filter(customer__user=user)
        .first()
    )


def export_billing(user: User) -> dict[str, Any] | None:
    """What billing holds of a person. Payments stay, under the customer's pseudonym alone."""
    customer = Customer.objects.filter(user=user).first()
    if customer is None:
        return None
    subscription = subscription_of_user(user)
    payments = Payment.objects.filter(customer=customer).order_by("asked_at")
    return {
        "customer": customer.pk,
        "contact": customer.contact,
        "subscription": subscription
        and {
            "plan": subscription.version.plan_id,
            "state": subscription.state,
            "paid_until": subscription.paid_until,
            "automatic_renewal": subscription.automatic_renewal,
        },
        "methods": list(customer.methods.values("title", "bound_at", "unbound_at")),
        "payments": [
            {
                "id": payment.pk,
                "kind": payment.kind,
                "state": payment.state,
                "amount": payment.amount,
                "plan": payment.version.plan_id if payment.version else None,
                "asked_at": payment.asked_at,
                "settled_at": payment.settled_at,
                "refunds": list(payment.refunds.values("amount", "state", "why", "settled_at")),
            }
            for payment in payments.select_related("version").prefetch_related("refunds")
        ],
        "terms": list(
            Term.objects.filter(subscription__customer=customer)
            .order_by("begins")
            .values("version__plan", "begins", "ends")
        ),
        "ledger": list(
            customer.ledger.order_by("number").values("number", "kind", "amount", "balance", "at")
        ),
    }
