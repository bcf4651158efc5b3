"""When a saved method is charged, and charged again: the dunning calendar."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from apps.billing.arithmetic import DAY, spread_over_the_day
from apps.billing.models import Payment, PaymentMethod, Subscription
from apps.billing.reasons import Help, help_for
from apps.jobs.services import submit_job

# Days after the first attempt.
CALENDAR = (timedelta(), DAY, 3 * DAY, 7 * DAY)
# After an outage the calendar's days may all have passed; they are not made up for in a row.
SHORTEST_PAUSE = timedelta(hours=20)
CHECKOUT_LASTS = timedelta(hours=1)


@dataclass(frozen=True)
class Attempt:
    number: int
    due: datetime


def first_due(subscription: Subscription) -> datetime:
    """Within the day before the paid time ends; a trial is free to its end."""
    if subscription.state == Subscription.State.TRIALING:
        return subscription.paid_until
    return subscription.paid_until - DAY + spread_over_the_day(subscription.pk)


def next_attempt(subscription: Subscription, method: PaymentMethod, at: datetime) -> Attempt | None:
    """The next charge for the period that begins when the paid time ends.

    None: one is under way, or only another method or a person can help.
    """
    renewals = Payment.objects.filter(subscription=subscription)
    if renewals.filter(state=Payment.State.PENDING).exists():
        return None
    made = list(renewals.filter(period=subscription.paid_until).order_by("attempt"))
    due = _due(subscription, method, made, at)
    if due is None:
        return None
    return Attempt(
        number=made[-1].attempt + 1 if made and made[-1].attempt is not None else 0,
        due=max(due, paying_until(subscription, at) or due),
    )


def paying_until(subscription: Subscription, at: datetime) -> datetime | None:
    """Until when somebody may be paying on the provider's page: they are not charged besides."""
    paying = Payment.objects.filter(
        customer=subscription.customer_id,
        kind=Payment.Kind.CHECKOUT,
        state=Payment.State.PENDING,
        asked_at__gt=at - CHECKOUT_LASTS,
    )
    latest = paying.order_by("-asked_at").first()
    return None if latest is None else latest.asked_at + CHECKOUT_LASTS


def _due(
    subscription: Subscription, method: PaymentMethod, made: list[Payment], at: datetime
) -> datetime | None:
    first = first_due(subscription)
    tried = [payment for payment in made if payment.reason != "not_wanted"]
    if not tried:
        return first
    last = tried[-1]
    if last.state == Payment.State.SUCCEEDED:
        return None  # paid; the time it bought has been taken back
    if last.method_id != method.pk:
        return max(first, at)
    if help_for(last.reason) is Help.ANOTHER_METHOD or len(tried) >= len(CALENDAR):
        return None
    assert last.settled_at is not None
    return max(first + CALENDAR[len(tried)], last.settled_at + SHORTEST_PAUSE)


def submit_renewal(
    *, subscription: Subscription, method: PaymentMethod, attempt: Attempt, at: datetime
) -> Payment:
    """Make the charge of this (subscription, period, attempt); the database allows it once."""
    version = subscription.next_version or subscription.version
    return submit_job(
        job=Payment(
            kind=Payment.Kind.RENEWAL,
            customer_id=subscription.customer_id,
            subscription=subscription,
            period=subscription.paid_until,
            attempt=attempt.number,
            idempotence_key=renewal_key(subscription.pk, subscription.paid_until, attempt.number),
            method=method,
            contact=subscription.customer.contact,
            version=version,
            amount=version.price,
            asked_at=at,
        )
    )


def renewal_key(subscription: UUID, period: datetime, attempt: int) -> str:
    """The key of a charge says which it is, so that a second row of it could not charge twice."""
    return str(uuid5(subscription, f"{period.astimezone(UTC).isoformat()} {attempt}"))
