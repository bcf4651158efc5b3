"""Who may ask for how much: a user by their plan, and everybody together by money.

What is used is counted from the recognitions themselves and kept nowhere else. So whatever way
one ends, in the worker, at the sweep or at an operator's hand, the quota is right at once.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.utils import timezone

from apps.accounts.models import User
from apps.ai.models import ProviderCall, Recognition
from apps.ai.problems import Refused
from apps.billing.queries import Allowance, allowance_of
from apps.jobs.services import CANCELED

MOST_IN_FLIGHT = 3

# Reserved while it is open, spent when it is done. A failure gives it back; so does a
# cancellation, unless a worker was at it: that call is paid for (`charged` says which).
COUNTED = Q(charged=True) & (
    Q(status__in=(*Recognition.OPEN, Recognition.Status.DONE)) | Q(error_code=CANCELED)
)


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What of an allowance is used: `reserved` by what is still open, `spent` by the rest."""

    allowance: Allowance
    reserved: int
    spent: int

    @property
    def left(self) -> int:
        return max(self.allowance.recognitions - self.reserved - self.spent, 0)


def quota_of(user: User) -> Quota:
    """Of the running period."""
    allowance = allowance_of(user=user)
    of_period = Q(created_at__gte=allowance.begins, created_at__lt=allowance.ends)
    is_open = Q(status__in=Recognition.OPEN)
    counts = Recognition.objects.filter(COUNTED, of_period, user=user).aggregate(
        reserved=Count("pk", filter=is_open), spent=Count("pk", filter=~is_open)
    )
    return Quota(allowance=allowance, **counts)


def check_quota(user: User) -> None:
    """Raise Refused unless the user may ask once more. They must be locked by the caller."""
    if Recognition.objects.filter(user=user, status__in=Recognition.OPEN).count() >= MOST_IN_FLIGHT:
        raise Refused("too_many_in_flight")
    quota = quota_of(user)
    if quota.left <= 0:
        raise Refused("quota_exceeded", retry_after=_seconds_until(quota.allowance.ends))


def check_spending() -> None:
    """Raise Refused where models have cost AI_DAILY_LIMIT_USD today.

    Calls under way are not counted: the limit may be passed by what they cost.
    """
    if spent_since(_today()) >= settings.AI_DAILY_LIMIT_USD:
        raise Refused("daily_limit_reached", retry_after=_seconds_until(_today(1)))


def spent_since(begin: datetime) -> Decimal:
    """Dollars that models have cost since then, as far as we were told."""
    calls = ProviderCall.objects.filter(created_at__gte=begin)
    return calls.aggregate(sum=Sum("cost_usd"))["sum"] or Decimal(0)


def _today(days: int = 0) -> datetime:
    """When the day, as providers count it, began; or another one so many days later."""
    now = timezone.now().astimezone(UTC)
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)


def _seconds_until(end: datetime) -> int:
    return max(math.ceil((end - timezone.now()).total_seconds()), 1)
