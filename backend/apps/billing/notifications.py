"""What the provider calls out to us: believed only as a hint where to look."""

import json
import logging
from ipaddress import IPv4Address, IPv6Address, ip_network
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from apps.billing.findings import report_finding
from apps.billing.gateway import PaymentStatus, ProviderPayment, open_gateway
from apps.billing.models import Finding, Notification, Payment
from apps.billing.payments import apply_payment
from apps.billing.refunds import record_refund
from apps.billing.weather import waiting_for_provider
from apps.jobs.services import retry_dead_letter, submit_job
from apps.jobs.worker import Write

logger = logging.getLogger(__name__)

EVENTS = {
    "payment.waiting_for_capture",
    "payment.succeeded",
    "payment.canceled",
    "refund.succeeded",
}
LARGEST_BODY = 64 * 1024


class NotANotification(ValueError):
    """What came is not in the shape of a notification."""


def is_from_provider(address: IPv4Address | IPv6Address | None) -> bool:
    """Whether the provider sends from there."""
    networks = settings.YOOKASSA_NOTIFICATION_NETWORKS
    return address is not None and any(address in ip_network(network) for network in networks)


def receive_notification(*, body: bytes, sender: str) -> Notification:
    """Keep it as it came, once; the same again has a failed one looked at again.

    Nobody is asked here. Raises NotANotification.
    """
    event, object_id, text = _read(body)
    with transaction.atomic():
        known = _again(event, object_id)
        if known is not None:
            return known
        new = Notification(event=event, object_id=object_id, body=text, sender=sender)
        try:
            with transaction.atomic():
                return submit_job(job=new)
        except IntegrityError:  # the same came at the same moment
            again = _again(event, object_id)
            assert again is not None
            return again


def _again(event: str, object_id: str) -> Notification | None:
    same = Notification.objects.filter(event=event, object_id=object_id)
    if not same.update(times=F("times") + 1):
        return None
    known = same.get()
    retry_dead_letter(job=known, by="sent again")
    return known


def _read(body: bytes) -> tuple[str, str, str]:
    try:
        text = body.decode()
        match json.loads(text):
            case {
                "type": "notification",
                "event": str() as event,
                "object": {"id": str() as object_id},
            } if event in EVENTS and 0 < len(object_id) <= 64 and "\0" not in text + object_id:
                return event, object_id, text
    except (ValueError, RecursionError):
        pass
    raise NotANotification


def settle_notification(notification: Notification) -> Write | None:
    """Ask the provider what became of the object, and apply that."""
    with waiting_for_provider(since=notification.received_at):
        gateway = open_gateway()
        if notification.event.startswith("payment."):
            payment = gateway.get_payment(notification.object_id)
            return lambda: learn_of_payment(payment)
        refund = gateway.get_refund(notification.object_id)
        if not _is_paid(refund.payment):
            # Its own notification may be late, or lost.
            learn_of_payment(gateway.get_payment(refund.payment))
    record_refund(found=refund)
    return None


def _is_paid(provider_id: str) -> bool:
    return Payment.objects.filter(provider_id=provider_id, state=Payment.State.SUCCEEDED).exists()


def find_payment(found: ProviderPayment) -> Payment | None:
    """Our row of the provider's payment: by its id, else by ours that travelled along."""
    known = Payment.objects.filter(provider_id=found.id).first()
    if known is not None:
        return known
    try:
        named = UUID(found.metadata.get("payment", ""))
    except ValueError:
        return None
    return Payment.objects.filter(pk=named).first()


def learn_of_payment(found: ProviderPayment) -> Payment | None:
    """Apply what the provider says of a payment; a paid one that is not ours is a finding."""
    payment = find_payment(found)
    if payment is not None:
        return apply_payment(payment_id=payment.pk, found=found)
    if found.status is PaymentStatus.SUCCEEDED:
        report_finding(
            kind=Finding.Kind.UNKNOWN_PAYMENT,
            subject=found.id,
            detail=f"{found.amount} of {found.created_at:%Y-%m-%d %H:%M}Z.",
        )
    return None
