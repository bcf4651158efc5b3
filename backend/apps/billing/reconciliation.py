"""Every night: what the provider has against what we have."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from time import monotonic

from django.db.models import Sum
from django.utils import timezone

from apps.billing.arithmetic import NOTHING
from apps.billing.findings import report_finding
from apps.billing.gateway import (
    Gateway,
    GatewayError,
    NotThere,
    ProviderPayment,
    Unknown,
    is_configured,
    open_gateway,
)
from apps.billing.models import Finding, Payment, Refund
from apps.billing.notifications import find_payment, learn_of_payment
from apps.jobs.errors import Temporary
from apps.jobs.models import Job
from apps.jobs.services import retry_dead_letter

logger = logging.getLogger(__name__)

LOOKS_BACK = timedelta(days=8)
# With a last page that takes its time, well within the lease of a routine.
LONGEST_RUN = timedelta(seconds=90)
STEP = timedelta(days=1)
# What is younger is still under way.
LEAVES_ALONE = timedelta(minutes=15)


@dataclass
class Report:
    """What a run came to."""

    listed: int = 0
    mended: int = 0
    seen: set[str] = field(default_factory=set)


def reconcile(*, looks_back: timedelta = LOOKS_BACK) -> Report:
    """Mend by apply_payment what can be mended; the rest becomes findings.

    Raises jobs.errors.Temporary where the provider cannot be asked.
    """
    gateway = open_gateway()
    now = timezone.now()
    begins, ends = now - looks_back, now - LEAVES_ALONE
    report = Report()
    try:
        _read_list(gateway, report, begins, ends)
        _look_for_ours(gateway, report, begins, ends)
    except GatewayError as error:
        raise Temporary(error.code, str(error), after=timedelta(minutes=20)) from None
    _wake_what_is_known()
    logger.info("billing reconciled", extra={"listed": report.listed, "mended": report.mended})
    return report


def _read_list(gateway: Gateway, report: Report, begins: datetime, ends: datetime) -> None:
    """In steps, the newest first: what a slow provider leaves unread is the oldest."""
    until, gives_up = ends, monotonic() + LONGEST_RUN.total_seconds()
    while begins < until:
        if monotonic() > gives_up:
            raise Unknown("too_slow", f"read back to {until:%Y-%m-%d %H:%M}Z alone")
        since = max(until - STEP, begins)
        for found in gateway.list_payments(created_gte=since, created_lt=until):
            report.listed += 1
            report.seen.add(found.id)
            _compare(report, found)
        until = since


def _compare(report: Report, found: ProviderPayment) -> None:
    payment = find_payment(found)
    before = payment.state if payment else None
    after = learn_of_payment(found)
    if after is None:
        return
    if after.state != before:
        report.mended += 1
    if after.provider_id == found.id and after.state == Payment.State.SUCCEEDED:
        _compare_refunds(after, found)


def _compare_refunds(payment: Payment, found: ProviderPayment) -> None:
    refunds = Refund.objects.filter(payment=payment)
    if refunds.filter(state=Refund.State.PENDING).exists():
        return
    ours = refunds.filter(state=Refund.State.SUCCEEDED).aggregate(sum=Sum("amount"))["sum"]
    known: Decimal = ours or NOTHING
    if known != found.refunded:
        report_finding(
            kind=Finding.Kind.REFUND_DIFFERS,
            subject=found.id,
            detail=f"{found.refunded} given back there, {known} here, payment {payment.pk}.",
        )


def _look_for_ours(gateway: Gateway, report: Report, begins: datetime, ends: datetime) -> None:
    """Those whose id we hold and that were not on the list: is there such a payment?"""
    ours = Payment.objects.filter(
        sent_at__gte=begins + timedelta(minutes=5), sent_at__lt=ends, provider_id__isnull=False
    )
    for payment in ours.exclude(provider_id__in=report.seen):
        assert payment.provider_id is not None
        try:
            found = gateway.get_payment(payment.provider_id)
        except NotThere:
            report_finding(
                kind=Finding.Kind.ABSENT_THERE,
                subject=payment.provider_id,
                detail=f"Payment {payment.pk} of {payment.amount}, {payment.state} here.",
            )
        else:
            _compare(report, found)


def _wake_what_is_known() -> None:
    """Dead letters of payments whose end has become known are no dead letters any more."""
    for payment in Payment.objects.filter(status=Job.Status.FAILED, state__in=Payment.FINAL):
        retry_dead_letter(job=payment, by="reconciliation")


def reconcile_nightly() -> None:
    """The routine; nothing where nobody can be paid."""
    if is_configured():
        reconcile()
