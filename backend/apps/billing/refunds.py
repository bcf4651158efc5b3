"""Giving money back: asked for by staff (or for a saved card's rouble), settled by a job."""

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.billing import messages
from apps.billing.findings import report_finding
from apps.billing.gateway import (
    NewRefund,
    NotThere,
    ProviderRefund,
    RefundStatus,
    Refused,
    open_gateway,
)
from apps.billing.ledger import lock_customer
from apps.billing.models import Finding, Payment, Refund
from apps.billing.receipts import receipt_for
from apps.billing.subscriptions import subscription_of, turn_subscription
from apps.billing.terms import expire_terms, take_back
from apps.billing.weather import KEY_LIVES, need_a_person, poll_pause, waiting_for_provider
from apps.jobs.errors import NotYet
from apps.jobs.models import Job
from apps.jobs.services import retry_dead_letter, submit_job
from apps.jobs.worker import Write

logger = logging.getLogger(__name__)


class NotRefundable(Exception):
    """The refund is not made; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def request_refund(*, payment_id: Any, amount: Decimal, why: str, by: str) -> Refund:
    """Have part or all of a payment given back. Raises NotRefundable.

    Two that are asked for at once wait for each other here.
    """
    with transaction.atomic():
        payment = Payment.objects.select_for_update(no_key=True).get(pk=payment_id)
        if payment.state != Payment.State.SUCCEEDED:
            raise NotRefundable("not_paid")
        if amount <= 0 or amount != amount.quantize(Decimal("0.01")):
            raise NotRefundable("not_an_amount")
        if payment.refunding + amount > payment.amount:
            raise NotRefundable("more_than_paid")
        if not why.strip():
            raise NotRefundable("no_reason")
        logger.info(
            "refund asked for",
            extra={"payment": str(payment.pk), "amount": str(amount), "by": by},
        )
        return submit_refund(payment=payment, amount=amount, why=why, by=by, at=timezone.now())


def submit_refund(
    *, payment: Payment, amount: Decimal, why: str, by: str, at: datetime, provider_id: str = ""
) -> Refund:
    """The row of a refund; the caller holds the payment's row."""
    payment.refunding += amount
    payment.save(update_fields=["refunding"])
    return submit_job(
        job=Refund(
            payment=payment,
            amount=amount,
            why=why,
            asked_by=by[:64],
            asked_at=at,
            provider_id=provider_id or None,
        )
    )


def settle_refund(refund: Refund) -> Write | None:
    """Ask for the refund, or how far it is; returns what writes its end down.

    The same key repeats the same refund for a day, and so an unknown outcome is no danger.
    """
    if refund.is_final:
        return None
    try:
        with waiting_for_provider(since=refund.asked_at):
            found = _ask(refund)
    except Refused as error:
        code = error.code
        return lambda: fail_refund(refund_id=refund.pk, reason=code)
    if found.status is not RefundStatus.PENDING:
        return lambda: apply_refund(refund_id=refund.pk, found=found)
    apply_refund(refund_id=refund.pk, found=found)
    raise NotYet("pending", poll_pause(refund.asked_at))


def _ask(refund: Refund) -> ProviderRefund:
    gateway = open_gateway()
    if refund.provider_id:
        try:
            return gateway.get_refund(refund.provider_id)
        except NotThere:
            report_finding(
                kind=Finding.Kind.ABSENT_THERE,
                subject=refund.provider_id,
                detail=f"Refund {refund.pk} of {refund.amount}.",
            )
            raise
    now = timezone.now()
    if refund.sent_at is None:
        Refund.objects.filter(pk=refund.pk, sent_at=None).update(sent_at=now)
    elif now - refund.sent_at >= KEY_LIVES:
        raise need_a_person(f"refund {refund.pk}", "nobody knows whether it was made")
    payment = refund.payment
    assert payment.provider_id is not None
    return gateway.create_refund(
        NewRefund(
            payment=payment.provider_id,
            amount=refund.amount,
            receipt=receipt_for(payment),
        ),
        key=refund.idempotence_key,
    )


def apply_refund(*, refund_id: Any, found: ProviderRefund) -> Refund:
    """Move our refund to where the provider's is, with everything that follows, once."""
    with transaction.atomic():
        refund = _lock_refund(refund_id)
        same = found.amount == refund.amount and found.payment == refund.payment.provider_id
        # Who looked while it was pending may come here last.
        ended = found.status is not RefundStatus.PENDING
        if not same or (refund.is_final and ended and found.status.value != refund.state):
            report_finding(
                kind=Finding.Kind.REFUND_DIFFERS,
                subject=found.id,
                detail=(
                    f"{found.amount} {found.status} there, {refund.amount} {refund.state} here, "
                    f"refund {refund.pk}."
                ),
            )
            return refund
        if refund.is_final:
            return refund
        refund.provider_id = found.id
        if found.status is RefundStatus.SUCCEEDED:
            _succeed(refund)
        elif found.status is RefundStatus.CANCELED:
            _fail(refund, found.cancellation.reason if found.cancellation else "")
        refund.save()
        return refund


def fail_refund(*, refund_id: Any, reason: str) -> Refund:
    """The provider refused to make it."""
    with transaction.atomic():
        refund = _lock_refund(refund_id)
        if not refund.is_final:
            _fail(refund, reason)
            refund.save()
        return refund


def give_up_refund(*, refund: Refund, by: str) -> bool:
    """A person says that a refund which is a dead letter never was made.

    False where its end is known, or where the job is still at it and might send it after all.
    Should the provider tell of it after all, it is learnt as one made there.
    """
    with transaction.atomic():
        row = _lock_refund(refund.pk)
        if row.status != Job.Status.FAILED or row.is_final:
            return False
        _end(row, "given_up_by_staff")
        row.provider_id = None
        row.save()
        retry_dead_letter(job=row, by=by)  # which has nothing left to do
        logger.warning("refund given up", extra={"refund": str(row.pk), "by": by})
        return True


def _lock_refund(pk: Any) -> Refund:
    return (
        Refund.objects.select_for_update(no_key=True, of=("self",))
        .select_related("payment")
        .get(pk=pk)
    )


def _succeed(refund: Refund) -> None:
    now = timezone.now()
    refund.state, refund.settled_at = Refund.State.SUCCEEDED, now
    payment = refund.payment
    customer = lock_customer(payment.customer_id)
    expire_terms(customer=customer, at=now)
    shortened = take_back(customer=customer, refund=refund, at=now)
    subscription = subscription_of(customer)
    if subscription is not None:
        whole = shortened and payment.refunding == payment.amount
        if whole:
            # Who has all of it back is not charged for it again.
            subscription.automatic_renewal = False
        turn_subscription(customer=customer, subscription=subscription, at=now)
    if refund.asked_by != "billing":
        messages.tell_refunded(refund=refund)


def _end(refund: Refund, reason: str) -> None:
    refund.state, refund.settled_at = Refund.State.CANCELED, timezone.now()
    refund.reason = reason[:64]
    Payment.objects.filter(pk=refund.payment_id).update(refunding=F("refunding") - refund.amount)


def _fail(refund: Refund, reason: str) -> None:
    _end(refund, reason)
    report_finding(
        kind=Finding.Kind.REFUND_FAILED,
        subject=str(refund.pk),
        detail=f"{refund.amount} of payment {refund.payment_id}: {reason or 'no reason given'}.",
    )


def record_refund(*, found: ProviderRefund) -> Refund | None:
    """A refund that the provider tells of: ours, one of ours whose id was lost, or one made in
    the provider's cabinet. None, and a finding, where its payment is not ours.

    Raises NotYet while it may be one of ours that is under way.
    """
    with transaction.atomic():
        payment = (
            Payment.objects.filter(provider_id=found.payment).select_for_update(no_key=True).first()
        )
        if payment is None:
            report_finding(
                kind=Finding.Kind.UNKNOWN_REFUND,
                subject=found.id,
                detail=f"{found.amount} of the provider's payment {found.payment}.",
            )
            return None
        # Looked for while the payment's row is held: whoever learns of it at once waits here.
        refund = payment.refunds.filter(provider_id=found.id).first() or _lost(payment, found)
        if refund is None:
            if found.status is RefundStatus.CANCELED:
                return None
            if (
                payment.state != Payment.State.SUCCEEDED
                or payment.refunding + found.amount > payment.amount
            ):
                report_finding(
                    kind=Finding.Kind.REFUND_DIFFERS,
                    subject=found.id,
                    detail=f"{found.amount} of payment {payment.pk} ({payment.state}) cannot be.",
                )
                return None
            refund = submit_refund(
                payment=payment,
                amount=found.amount,
                why="made at the provider",
                by="provider",
                at=timezone.now(),
                provider_id=found.id,
            )
    return apply_refund(refund_id=refund.pk, found=found)


def _lost(payment: Payment, found: ProviderRefund) -> Refund | None:
    """The refund of ours, now a dead letter, whose answer this is."""
    ours = payment.refunds.filter(provider_id=None, state=Refund.State.PENDING)
    if ours.filter(status__in=Refund.OPEN, sent_at__isnull=False).exists():
        # Its own job learns its id by its key.
        raise NotYet("refund_under_way", timedelta(minutes=1))
    lost = ours.filter(status=Refund.Status.FAILED, amount=found.amount)
    return lost.order_by("asked_at").first()
