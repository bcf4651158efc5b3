"""What was paid, and so what somebody may have."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

from apps.accounts.models import User

FREE_RECOGNITIONS = 30


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """So many recognitions may be delivered from `begins` until before `ends`."""

    plan: str
    recognitions: int
    begins: datetime
    ends: datetime


def allowance_of(*, user: User, at: datetime | None = None) -> Allowance:
    """What the user may have at that moment, now by default. Nothing else decides it."""
    local = (at or timezone.now()).astimezone(ZoneInfo(settings.TIME_ZONE))
    begins = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    month = begins.month % 12 + 1
    ends = begins.replace(year=begins.year + (month == 1), month=month)
    return Allowance(plan="free", recognitions=FREE_RECOGNITIONS, begins=begins, ends=ends)
