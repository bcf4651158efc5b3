"""The subscription's state machine: which events there are and where they lead.

`turn_subscription` is the step that time makes; everything else is somebody's wish. Each runs
under the customer's lock.
"""

import logging
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.billing import messages
from apps.billing.ledger import LockedCustomer, lock_customer
from apps.billing.models import (
    Customer,
    Notification,
    Payment,
    PaymentMethod,
    PlanVersion,
    Refund,
    Subscription,
)
from apps.billing.renewals import next_attempt, submit_renewal
from apps.billing.terms import expire_terms

logger = logging.getLogger(__name__)

State = Subscription.State
GRACE = timedelta(days=7)
RENEWING = (State.TRIALING, State.ACTIVE, State.PAST_DUE)
BATCH = 200


class Event(StrEnum):
    TRIAL_STARTED = "trial_started"
    PAID = "paid"
    UNPAID = "unpaid"
    CANCELED = "canceled"
    RESUMED = "resumed"
    RESUMED_IN_TRIAL = "resumed_in_trial"
    ENDED = "ended"


TRANSITIONS: dict[tuple[State | None, Event], State] = {
    (None, Event.TRIAL_STARTED): State.TRIALING,
    (None, Event.PAID): State.ACTIVE,
    (State.TRIALING, Event.PAID): State.ACTIVE,
    (State.TRIALING, Event.UNPAID): State.PAST_DUE,
    (State.TRIALING, Event.CANCELED): State.CANCELED,
    (State.TRIALING, Event.ENDED): State.EXPIRED,
    (State.ACTIVE, Event.PAID): State.ACTIVE,
    (State.ACTIVE, Event.UNPAID): State.PAST_DUE,
    (State.ACTIVE, Event.CANCELED): State.CANCELED,
    (State.ACTIVE, Event.ENDED): State.EXPIRED,
    (State.PAST_DUE, Event.PAID): State.ACTIVE,
    (State.PAST_DUE, Event.CANCELED): State.EXPIRED,
    (State.PAST_DUE, Event.ENDED): State.EXPIRED,
    (State.CANCELED, Event.PAID): State.ACTIVE,
    (State.CANCELED, Event.RESUMED): State.ACTIVE,
    (State.CANCELED, Event.RESUMED_IN_TRIAL): State.TRIALING,
    (State.CANCELED, Event.ENDED): State.EXPIRED,
    (State.EXPIRED, Event.PAID): State.ACTIVE,
}


class NotPossible(Exception):
    """The subscription is not in a state for that; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def move(subscription: Subscription, event: Event, *, at: datetime) -> None:
    """Take the transition. Raises NotPossible where the machine has none."""
    before = State(subscription.state) if subscription.state else None
    after = TRANSITIONS.get((before, event))
    if after is None:
        raise NotPossible("not_in_this_state")
    subscription.state = after
    if after in (State.CANCELED, State.EXPIRED):
        subscription.automatic_renewal = False
    if after == State.EXPIRED:
        subscription.next_version = None
        subscription.ended_at = at
    logger.info(
        "subscription moved",
        extra={"subscription": str(subscription.pk), "by": event, "from": before, "to": after},
    )


def renews(subscription: Subscription) -> bool:
    """Whether a saved method will be charged for the next period."""
    return subscription.automatic_renewal and subscription.state in RENEWING


def open_subscription(
    *, customer: LockedCustomer, version: PlanVersion, at: datetime
) -> Subscription:
    """The customer's subscription; a new one is in no state until its first event."""
    found = subscription_of(customer)
    if found is not None:
        return found
    return Subscription(
        customer=customer.row,
        state="",
        version=version,
        automatic_renewal=False,
        paid_until=at,
        served_until=at,
        anchor_day=1,
    )


def subscription_of(customer: LockedCustomer) -> Subscription | None:
    return (
        Subscription.objects.select_related("version", "next_version")
        .filter(customer=customer.row)
        .first()
    )


def bound_method(customer: LockedCustomer) -> PaymentMethod | None:
    return PaymentMethod.objects.filter(customer=customer.row, unbound_at=None).first()


def turn_subscription(
    *, customer: LockedCustomer, subscription: Subscription, at: datetime
) -> None:
    """Bring the subscription to this moment, make the renewal that is due, and save it."""
    expire_terms(customer=customer, at=at)
    last = subscription.terms.filter(moved_to=None).order_by("-ends").first()
    if last is not None:
        subscription.paid_until = last.ends
    _measure(subscription)
    if subscription.state != State.EXPIRED and at >= subscription.paid_until:
        if at >= subscription.served_until:
            _end(customer, subscription, at)
        elif subscription.state != State.PAST_DUE:
            move(subscription, Event.UNPAID, at=at)
    subscription.next_at = None
    if subscription.state != State.EXPIRED:
        moments = [subscription.paid_until, subscription.served_until]
        if renews(subscription):
            method = bound_method(customer)
            attempt = next_attempt(subscription, method, at) if method else None
            if attempt and method and attempt.due <= at:
                submit_renewal(subscription=subscription, method=method, attempt=attempt, at=at)
            elif attempt:
                moments.append(attempt.due)
        subscription.next_at = min(moment for moment in moments if moment > at)
    subscription.save()


def _measure(subscription: Subscription) -> None:
    grace = GRACE if renews(subscription) else timedelta()
    subscription.served_until = subscription.paid_until + grace


def _end(customer: LockedCustomer, subscription: Subscription, at: datetime) -> None:
    unpaid = subscription.state == State.PAST_DUE
    move(subscription, Event.ENDED, at=at)
    _measure(subscription)
    messages.tell_ended(customer=customer.row, subscription=subscription, unpaid=unpaid)


def turn_subscriptions() -> int:
    """Turn a batch of those that are due; returns how many there were.

    One that fails is logged and looked at again in an hour: it must not hold up the others.
    """
    due = Subscription.objects.filter(next_at__lte=timezone.now()).order_by("next_at")
    customers = list(due.values_list("customer", flat=True)[:BATCH])
    for pk in customers:
        try:
            with transaction.atomic():
                _turn_if_due(pk)
        except Exception:
            logger.exception("subscription not turned", extra={"customer": str(pk)})
            again = timezone.now() + timedelta(hours=1)
            Subscription.objects.filter(customer=pk).update(next_at=again)
    return len(customers)


def _turn_if_due(pk: object) -> None:
    customer = lock_customer(pk)
    subscription = subscription_of(customer)
    now = timezone.now()
    if subscription and subscription.next_at and subscription.next_at <= now:
        turn_subscription(customer=customer, subscription=subscription, at=now)


def cancel_subscription(*, user: User) -> Subscription:
    """Serve to the end of what is paid, and charge no more. Raises NotPossible."""
    with transaction.atomic():
        customer, subscription = _locked(user)
        if subscription.state != State.CANCELED:
            _cancel(customer, subscription, timezone.now())
        return subscription


def _cancel(customer: LockedCustomer, subscription: Subscription, at: datetime) -> None:
    move(subscription, Event.CANCELED, at=at)
    turn_subscription(customer=customer, subscription=subscription, at=at)


def resume_subscription(*, user: User) -> Subscription:
    """Take back the cancellation while what is paid lasts. Raises NotPossible."""
    with transaction.atomic():
        customer, subscription = _locked(user)
        now = timezone.now()
        if subscription.state in (State.ACTIVE, State.TRIALING):
            return subscription
        if subscription.state != State.CANCELED or now >= subscription.paid_until:
            raise NotPossible("not_in_this_state")
        _require_method(customer)
        trial = subscription.terms.filter(begins__lte=now, ends__gt=now, payment__kind="trial")
        event = Event.RESUMED_IN_TRIAL if trial.exists() else Event.RESUMED
        move(subscription, event, at=now)
        subscription.automatic_renewal = True
        turn_subscription(customer=customer, subscription=subscription, at=now)
        return subscription


def set_automatic_renewal(*, user: User, on: bool) -> Subscription:
    """Whether the saved method is charged at the end of the period. Raises NotPossible."""
    with transaction.atomic():
        customer, subscription = _locked(user)
        if subscription.state not in RENEWING:
            raise NotPossible("not_in_this_state")
        if on:
            _require_method(customer)
        subscription.automatic_renewal = on
        turn_subscription(customer=customer, subscription=subscription, at=timezone.now())
        return subscription


def set_next_plan(*, user: User, version: PlanVersion | None) -> Subscription:
    """Renew with another plan from the next period on, or (None) with the same.

    Raises NotPossible.
    """
    with transaction.atomic():
        customer, subscription = _locked(user)
        if not renews(subscription):
            raise NotPossible("does_not_renew")
        same = version is not None and version.plan_id == subscription.version.plan_id
        subscription.next_version = None if same else version
        turn_subscription(customer=customer, subscription=subscription, at=timezone.now())
        return subscription


def unbind_method(*, user: User) -> bool:
    """Forget the saved card, and so switch automatic renewal off. False where there is none."""
    with transaction.atomic():
        customer = _customer_of(user)
        method = bound_method(customer) if customer else None
        if customer is None or method is None:
            return False
        now = timezone.now()
        forget_method(method, at=now)
        subscription = subscription_of(customer)
        if subscription is not None:
            subscription.automatic_renewal = False
            turn_subscription(customer=customer, subscription=subscription, at=now)
        return True


def forget_method(method: PaymentMethod, *, at: datetime) -> None:
    """Keep the row, since payments name it, and nothing of what it says."""
    method.unbound_at = method.unbound_at or at
    method.provider_id = method.title = ""
    method.save()


def erase_billing(user: User) -> None:
    """Before the person's account goes: nothing is charged any more, no card or address is kept."""
    with transaction.atomic():
        # Notifications before payments before their customer, as everywhere: docs/BILLING.md.
        own = Payment.objects.filter(customer__user=user)
        # What the provider told of them names the card.
        for told in (own, Refund.objects.filter(payment__in=own)):
            ids = told.exclude(provider_id=None).values("provider_id")
            Notification.objects.filter(object_id__in=ids).update(body="")
        own.exclude(contact="").update(contact="")
        customer = _customer_of(user)
        if customer is None:
            return
        now = timezone.now()
        for method in customer.row.methods.all():
            forget_method(method, at=now)
        subscription = subscription_of(customer)
        if subscription is not None and renews(subscription):
            _cancel(customer, subscription, now)
        elif subscription is not None and subscription.automatic_renewal:
            subscription.automatic_renewal = False
            subscription.save(update_fields=["automatic_renewal"])
        customer.row.contact = ""
        customer.row.save(update_fields=["contact"])


def _require_method(customer: LockedCustomer) -> None:
    if bound_method(customer) is None:
        raise NotPossible("no_saved_method")


def _customer_of(user: User) -> LockedCustomer | None:
    row = Customer.objects.select_for_update(no_key=True).filter(user=user).first()
    return LockedCustomer(row) if row else None


def _locked(user: User) -> tuple[LockedCustomer, Subscription]:
    customer = _customer_of(user)
    subscription = subscription_of(customer) if customer else None
    if customer is None or subscription is None:
        raise NotPossible("no_subscription")
    return customer, subscription
