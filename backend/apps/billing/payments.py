"""The one place where a payment's state moves: `apply_payment`.

The job, notifications, the return page and reconciliation all come here with what the provider
says; what was applied already changes nothing.
"""

import logging
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.billing import messages
from apps.billing.customers import keep_method
from apps.billing.findings import report_finding
from apps.billing.gateway import FINAL, PaymentStatus, ProviderPayment
from apps.billing.ledger import LockedCustomer, lock_customer, post_entry
from apps.billing.models import Entry, Finding, Payment, Subscription
from apps.billing.refunds import submit_refund
from apps.billing.renewals import next_attempt
from apps.billing.subscriptions import (
    Event,
    bound_method,
    move,
    open_subscription,
    subscription_of,
    turn_subscription,
)
from apps.billing.terms import grant_term, grant_trial

logger = logging.getLogger(__name__)

Kind, State = Payment.Kind, Payment.State


def apply_payment(*, payment_id: Any, found: ProviderPayment) -> Payment:
    """Move our payment to where the provider's is, with everything that follows, once.

    What contradicts our row grants nothing and is reported as a finding.
    """
    with transaction.atomic():
        payment = lock_payment(payment_id)
        contradiction = _contradiction(payment, found)
        if contradiction is not None:
            kind, detail = contradiction
            report_finding(kind=kind, subject=found.id, detail=detail)
            return payment
        if payment.is_final:
            return payment
        payment.provider_id = found.id
        payment.confirmation_url = found.confirmation_url or payment.confirmation_url
        if found.status is PaymentStatus.SUCCEEDED:
            _succeed(payment, found)
        elif found.status is PaymentStatus.CANCELED:
            reason = found.cancellation.reason if found.cancellation else ""
            _cancel(payment, State.CANCELED, reason)
        payment.save()
        return payment


def lock_payment(pk: Any) -> Payment:
    # FOR NO KEY UPDATE: rows that name the payment may be written meanwhile.
    return (
        Payment.objects.select_for_update(no_key=True, of=("self",))
        .select_related("version", "customer")
        .get(pk=pk)
    )


def end_payment(*, payment_id: Any, reason: str, by: str = "") -> Payment:
    """Say by ourselves that a payment is over. The provider may still know better.

    Nothing changes where the provider was quicker; against one that it knows, `by` may say so.
    """
    with transaction.atomic():
        payment = lock_payment(payment_id)
        if payment.state == State.PENDING and (by or payment.provider_id is None):
            _cancel(payment, State.GIVEN_UP, reason)
            payment.save()
            logger.warning(
                "payment given up", extra={"payment": str(payment.pk), "code": reason, "by": by}
            )
        return payment


def _contradiction(payment: Payment, found: ProviderPayment) -> tuple[Finding.Kind, str] | None:
    named = found.metadata.get("payment")
    if named != str(payment.pk):
        return Finding.Kind.BELONGS_TO_ANOTHER, f"Its metadata names {named}, not {payment.pk}."
    if payment.provider_id not in (None, found.id):
        if found.status is PaymentStatus.CANCELED:
            return None if payment.is_final else _second(payment)
        return _second(payment)
    if found.test and settings.YOOKASSA_LIVE:
        return Finding.Kind.TEST_PAYMENT, f"No money moved for payment {payment.pk}."
    if found.amount != payment.amount:
        return (
            Finding.Kind.AMOUNT_DIFFERS,
            f"{found.amount} there, {payment.amount} here, payment {payment.pk}.",
        )
    # Who looked while it was pending may come here last.
    ended = found.status in FINAL
    if payment.is_final and payment.provider_id and ended and found.status.value != payment.state:
        return (
            Finding.Kind.STATE_DIFFERS,
            f"{found.status} there, {payment.state} here, payment {payment.pk}.",
        )
    return None


def _second(payment: Payment) -> tuple[Finding.Kind, str]:
    return (
        Finding.Kind.SECOND_PAYMENT,
        f"Payment {payment.pk} is {payment.provider_id} already.",
    )


def _succeed(payment: Payment, found: ProviderPayment) -> None:
    now = timezone.now()
    late = payment.state == State.GIVEN_UP
    payment.state, payment.settled_at, payment.reason = State.SUCCEEDED, now, ""
    payment.confirmation_url = ""
    payment.save()  # the refund and the entries below name it as it is now
    customer = lock_customer(payment.customer_id)
    # A charge tells of the method it was charged to: unbound meanwhile, it stays so.
    saved = payment.saves_method and keep_method(customer=customer, found=found.method, at=now)
    if payment.kind in (Kind.TRIAL, Kind.BINDING):
        _give_back(customer, payment, now)
        if payment.kind == Kind.TRIAL and saved and subscription_of(customer) is None:
            _start_trial(customer, payment, now)
        else:
            messages.tell_bound(payment=payment, saved=saved)
            subscription = subscription_of(customer)
            if subscription is not None:
                turn_subscription(customer=customer, subscription=subscription, at=now)
        return
    if late and payment.kind == Kind.RENEWAL and _is_paid(payment):
        report_finding(
            kind=Finding.Kind.PAID_TWICE,
            subject=str(payment.pk),
            detail="It had been given up, and another charge for the same period succeeded.",
        )
    _grant(customer, payment, saved, now)
    if customer.row.user_id is None:
        report_finding(
            kind=Finding.Kind.PAID_WITHOUT_USER,
            subject=str(payment.pk),
            detail=f"{payment.amount} came in after the account was deleted.",
        )


def _is_paid(payment: Payment) -> bool:
    """Whether another charge for the same period succeeded."""
    same = Payment.objects.filter(subscription=payment.subscription_id, period=payment.period)
    return same.filter(state=State.SUCCEEDED).exclude(pk=payment.pk).exists()


def _grant(customer: LockedCustomer, payment: Payment, saved: bool, at: datetime) -> None:
    assert payment.version is not None
    subscription = open_subscription(customer=customer, version=payment.version, at=at)
    bought = payment.kind == Kind.CHECKOUT
    # A charge that was under way when the subscription was canceled does not take that back.
    if bought or subscription.state != Subscription.State.CANCELED:
        move(subscription, Event.PAID, at=at)
    if subscription._state.adding:
        subscription.save()
    grant_term(
        customer=customer,
        subscription=subscription,
        version=payment.version,
        payment=payment,
        change_plan=bought,
        at=at,
    )
    if bought or subscription.next_version_id == payment.version_id:
        subscription.next_version = None
    if bought and (saved or not payment.saves_method):
        # Who bought without it wants no other card charged either.
        subscription.automatic_renewal = saved
    turn_subscription(customer=customer, subscription=subscription, at=at)
    messages.tell_paid(payment=payment, subscription=subscription)


def _start_trial(customer: LockedCustomer, payment: Payment, at: datetime) -> None:
    assert payment.version is not None
    subscription = open_subscription(customer=customer, version=payment.version, at=at)
    move(subscription, Event.TRIAL_STARTED, at=at)
    subscription.automatic_renewal = True
    subscription.save()
    grant_trial(customer=customer, subscription=subscription, payment=payment, at=at)
    turn_subscription(customer=customer, subscription=subscription, at=at)
    messages.tell_trial(payment=payment, subscription=subscription)


def _give_back(customer: LockedCustomer, payment: Payment, at: datetime) -> None:
    post_entry(
        customer=customer,
        kind=Entry.Kind.CHARGED,
        amount=payment.amount,
        at=at,
        payment=payment,
    )
    submit_refund(
        payment=payment, amount=payment.amount, why="taken to save the card", by="billing", at=at
    )


def _cancel(payment: Payment, state: Payment.State, reason: str) -> None:
    now = timezone.now()
    earlier, payment.state = payment.state, state
    payment.settled_at, payment.reason = now, reason[:64]
    payment.confirmation_url = ""
    if earlier == State.GIVEN_UP:
        return  # what followed from it has happened
    if payment.kind != Kind.RENEWAL:
        return
    payment.save()
    customer = lock_customer(payment.customer_id)
    subscription = subscription_of(customer)
    assert subscription is not None
    if payment.period == subscription.paid_until and reason != "not_wanted":
        method = bound_method(customer)
        again = next_attempt(subscription, method, now) if method else None
        messages.tell_declined(
            payment=payment,
            again_at=again.due if again else None,
            served_until=subscription.served_until,
        )
    turn_subscription(customer=customer, subscription=subscription, at=now)
