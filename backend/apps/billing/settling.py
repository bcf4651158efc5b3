"""The job of a payment: ask the provider until there is an answer that is final."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from apps.billing.findings import report_finding
from apps.billing.gateway import (
    CALL_DEADLINE,
    FINAL,
    LISTING_DEADLINE,
    Gateway,
    NewPayment,
    NotThere,
    PaymentStatus,
    ProviderPayment,
    Refused,
    TooMany,
    Unauthorized,
    Unreachable,
    open_gateway,
)
from apps.billing.ledger import lock_customer
from apps.billing.models import Finding, Payment
from apps.billing.payments import apply_payment, end_payment, lock_payment
from apps.billing.receipts import item_of, receipt_for
from apps.billing.renewals import paying_until
from apps.billing.subscriptions import renews, subscription_of
from apps.billing.weather import KEY_LIVES, need_a_person, poll_pause, waiting_for_provider
from apps.jobs.errors import NotYet, Permanent
from apps.jobs.models import Job
from apps.jobs.services import bring_forward, retry_dead_letter
from apps.jobs.worker import Write

State = Payment.State

# The provider works on a charge for half a minute and lists it then; an hour leaves no doubt.
SURELY_LISTED = timedelta(hours=1)
CLOCK_SKEW = timedelta(minutes=5)


def settle_payment(payment: Payment, *, deadline: timedelta = LISTING_DEADLINE) -> Write | None:
    """Send the payment, or learn how far it is; returns what writes down its end.

    `deadline` is for whatever is asked, a listing included. Raises NotYet while there is no end,
    at no cost of an attempt.
    """
    if payment.state != State.PENDING:
        return None
    try:
        with waiting_for_provider(since=payment.asked_at):
            found = _learn(payment, deadline)
    except Refused as error:
        reason = error.code if error.code != "invalid_request" else "refused"
        return lambda: end_payment(payment_id=payment.pk, reason=reason)
    if isinstance(found, str):
        gone = found
        return lambda: end_payment(payment_id=payment.pk, reason=gone)
    applied = apply_payment(payment_id=payment.pk, found=found)
    if found.status not in FINAL:
        raise NotYet("pending", poll_pause(payment.asked_at))
    if not applied.is_final:
        raise Permanent("contradicted", "what the provider has is not what was asked for")
    return None


def _learn(payment: Payment, deadline: timedelta) -> ProviderPayment | str:
    """The provider's payment; or the reason for giving up one that is surely not there."""
    gateway = open_gateway()
    of_a_call = min(deadline, CALL_DEADLINE)
    if payment.provider_id:
        return _get(gateway, payment, payment.provider_id, of_a_call)
    sent_at, first = _begin_sending(payment)
    if sent_at is None:
        return "not_wanted"
    if first:
        return _send_first(gateway, payment, of_a_call)
    too_old = timezone.now() - sent_at >= KEY_LIVES
    charges = payment.kind == Payment.Kind.RENEWAL
    if charges or too_old:
        found = look_up(gateway, payment, sent_at, deadline)
        if found is not None:
            return found
        absent_for = timezone.now() - sent_at
        if absent_for < SURELY_LISTED:
            raise NotYet("outcome_unknown", min(SURELY_LISTED - absent_for, timedelta(minutes=10)))
        if charges and not is_wanted(payment):
            return "not_wanted"
        if too_old and charges:
            raise need_a_person(
                f"payment {payment.pk}", "a charge that nobody knows the outcome of"
            )
        if too_old:
            return "never_made"
    return _send(gateway, payment, of_a_call)


def _get(
    gateway: Gateway, payment: Payment, provider_id: str, deadline: timedelta
) -> ProviderPayment:
    try:
        return gateway.get_payment(provider_id, deadline=deadline)
    except NotThere:
        report_finding(
            kind=Finding.Kind.ABSENT_THERE,
            subject=provider_id,
            detail=f"Payment {payment.pk} of {payment.amount}.",
        )
        raise


def _begin_sending(payment: Payment) -> tuple[datetime | None, bool]:
    """Commit that it is about to be sent. When it was first, and whether that is now.

    Nothing where it was not sent yet and is not wanted any more.
    """
    with transaction.atomic():
        row = lock_payment(payment.pk)
        if row.sent_at is not None:
            return row.sent_at, False
        if row.kind == Payment.Kind.RENEWAL and not is_wanted(row):
            return None, False
        row.sent_at = timezone.now()
        row.save(update_fields=["sent_at"])
        return row.sent_at, True


def is_wanted(payment: Payment) -> bool:
    """Whether the period that a renewal is for is still to be paid, and with that method.

    Not while somebody pays on the provider's page: they would pay twice.
    """
    with transaction.atomic():
        subscription = subscription_of(lock_customer(payment.customer_id))
        method = payment.method
        return (
            subscription is not None
            and method is not None
            and renews(subscription)
            and subscription.paid_until == payment.period
            and method.unbound_at is None
            and paying_until(subscription, timezone.now()) is None
        )


def _send_first(gateway: Gateway, payment: Payment, deadline: timedelta) -> ProviderPayment:
    try:
        return _send(gateway, payment, deadline)
    except (Unreachable, TooMany, Unauthorized):
        # Nothing was done: the next try is the first again.
        Payment.objects.filter(pk=payment.pk, provider_id=None).update(sent_at=None)
        raise


def _send(gateway: Gateway, payment: Payment, deadline: timedelta) -> ProviderPayment:
    """The same words every time, so that the same key gets the same answer."""
    to_page = payment.kind != Payment.Kind.RENEWAL
    new = NewPayment(
        amount=payment.amount,
        description=item_of(payment.version),
        metadata={
            "payment": str(payment.pk),
            "customer": str(payment.customer_id),
            "kind": payment.kind,
        },
        return_url=payment.return_url if to_page else "",
        save_payment_method=to_page and payment.saves_method,
        payment_method="" if to_page or payment.method is None else payment.method.provider_id,
        receipt=receipt_for(payment),
    )
    return gateway.create_payment(new, key=payment.idempotence_key, deadline=deadline)


def look_up(
    gateway: Gateway, payment: Payment, sent_at: datetime, deadline: timedelta
) -> ProviderPayment | None:
    """Our payment in the provider's list of the time in question; one that was paid, if several."""
    found = [
        listed
        for listed in gateway.list_payments(
            created_gte=sent_at - CLOCK_SKEW,
            created_lt=min(timezone.now(), sent_at + timedelta(hours=25)) + CLOCK_SKEW,
            deadline=deadline,
        )
        if listed.metadata.get("payment") == str(payment.pk)
    ]
    found.sort(key=lambda listed: listed.status is PaymentStatus.SUCCEEDED)
    return found[-1] if found else None


def give_up_payment(*, payment: Payment, by: str) -> bool:
    """A person says that a payment which is a dead letter never was.

    False where its end is known, or where the job is still at it and might send it after all.
    """
    with transaction.atomic():
        row = lock_payment(payment.pk)
        if row.status != Job.Status.FAILED or row.state != State.PENDING:
            return False
        end_payment(payment_id=row.pk, reason="given_up_by_staff", by=by)
        retry_dead_letter(job=row, by=by)  # which has nothing left to do
        return True


def check_soon(*, payment: Payment) -> None:
    """Have a worker ask for the payment now, unless one does or is about to."""
    if not payment.is_final:
        bring_forward(job=payment)
