"""What does not add up: written down once, and told to the administrators once."""

import logging

from django.db.models.functions import Now

from apps.billing.models import Finding
from apps.messaging.services import tell_administrators

logger = logging.getLogger(__name__)


def report_finding(*, kind: Finding.Kind, subject: str, detail: str) -> Finding:
    """Note it, unless it is noted already."""
    finding, new = Finding.objects.get_or_create(
        kind=kind, subject=subject, defaults={"detail": detail}
    )
    if new:
        logger.error("billing does not add up", extra={"kind": kind, "subject": subject})
        tell_administrators(
            text=f"Billing: {kind} {subject}. {detail} See docs/BILLING.md.",
            key=f"finding:{finding.pk}",
        )
    return finding


def settle_finding(*, finding: Finding, by: str) -> bool:
    """A person has looked and acted. False where somebody had already."""
    open_one = Finding.objects.filter(pk=finding.pk, settled_at=None)
    settled = open_one.update(settled_at=Now(), settled_by=by)
    if settled:
        logger.info("finding settled", extra={"finding": finding.pk, "by": by})
    return bool(settled)
