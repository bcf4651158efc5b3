"""On Mondays the administrators are told what the week before came to."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal

from django.db.models import Count, Sum
from django.utils import timezone

from apps.billing.arithmetic import NOTHING, local
from apps.billing.models import Finding, Payment, Refund, Subscription
from apps.jobs.models import Job
from apps.messaging.services import tell_administrators


@dataclass(frozen=True, kw_only=True)
class Week:
    """Sums over [begins, ends); what is open is open now."""

    begins: datetime
    ends: datetime
    paid: Decimal
    payments: int
    refunded: Decimal
    refunds: int
    declined: int
    churned: int
    findings: int
    open_findings: int
    dead_letters: int


def week_before(moment: datetime) -> Week:
    """The calendar week, Monday to Monday, that was over at that moment."""
    today = local(moment)
    monday = today.date() - timedelta(days=today.weekday())
    ends = datetime.combine(monday, time(), today.tzinfo)
    begins = ends - timedelta(days=7)
    bought = Payment.objects.filter(
        state=Payment.State.SUCCEEDED,
        kind__in=(Payment.Kind.CHECKOUT, Payment.Kind.RENEWAL),
        settled_at__gte=begins,
        settled_at__lt=ends,
    ).aggregate(sum=Sum("amount"), count=Count("pk"))
    given_back = (
        Refund.objects.filter(
            state=Refund.State.SUCCEEDED, settled_at__gte=begins, settled_at__lt=ends
        )
        .exclude(asked_by="billing")
        .aggregate(sum=Sum("amount"), count=Count("pk"))
    )
    declined = Payment.objects.filter(
        state=Payment.State.CANCELED,
        kind=Payment.Kind.RENEWAL,
        settled_at__gte=begins,
        settled_at__lt=ends,
    )
    churned = Subscription.objects.filter(ended_at__gte=begins, ended_at__lt=ends)
    findings = Finding.objects.all()
    dead = {"status": Job.Status.FAILED, "handled_at": None}
    return Week(
        begins=begins,
        ends=ends,
        paid=bought["sum"] or NOTHING,
        payments=bought["count"],
        refunded=given_back["sum"] or NOTHING,
        refunds=given_back["count"],
        declined=declined.count(),
        churned=churned.count(),
        findings=findings.filter(found_at__gte=begins, found_at__lt=ends).count(),
        open_findings=findings.filter(settled_at=None).count(),
        dead_letters=Payment.objects.filter(**dead).count() + Refund.objects.filter(**dead).count(),
    )


def send_digest() -> None:
    """Tell the administrators; the same week again is the same message."""
    week = week_before(timezone.now())
    last = week.ends - timedelta(days=1)
    tell_administrators(
        text=(
            f"Billing, {week.begins:%d.%m.%Y} to {last:%d.%m.%Y}\n"
            f"Paid: {week.paid} ₽ in {week.payments} payments\n"
            f"Refunded: {week.refunded} ₽ in {week.refunds} refunds\n"
            f"Charges declined: {week.declined}\n"
            f"Subscriptions ended: {week.churned}\n"
            f"Findings: {week.findings} new, {week.open_findings} open; "
            f"dead letters: {week.dead_letters}"
        ),
        key=f"billing:digest:{week.begins:%Y-%m-%d}",
    )
