"""Time and money: everything that is computed and nothing that is stored.

Money is roubles with two places, rounded half up. Calendars are those of TIME_ZONE.
"""

from calendar import monthrange
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from hashlib import sha256
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings

KOPECK = Decimal("0.01")
NOTHING = Decimal("0.00")
DAY = timedelta(days=1)


def local(moment: datetime) -> datetime:
    """The moment by our calendar."""
    return moment.astimezone(ZoneInfo(settings.TIME_ZONE))


def add_months(moment: datetime, months: int, *, day: int | None = None) -> datetime:
    """So many months later at the same time of day, on the `day` or the month's last one.

    By default the day is that of `moment`.
    """
    here = local(moment)
    year, month = divmod(here.year * 12 + here.month - 1 + months, 12)
    last = monthrange(year, month + 1)[1]
    then = here.replace(year=year, month=month + 1, day=min(day or here.day, last), fold=0)
    return then.astimezone(moment.tzinfo)


def month_around(moment: datetime, begins: datetime) -> tuple[datetime, datetime]:
    """The month that `moment` lies in, where months are counted from `begins`."""
    here, start = local(moment), local(begins)
    months = (here.year - start.year) * 12 + here.month - start.month
    if add_months(begins, months) > moment:
        months -= 1
    return add_months(begins, months), add_months(begins, months + 1)


def calendar_month(moment: datetime) -> tuple[datetime, datetime]:
    """The month of the calendar that the moment lies in."""
    begins = local(moment).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begins, add_months(begins, 1)


def unused_value(*, value: Decimal, begins: datetime, ends: datetime, now: datetime) -> Decimal:
    """What the time that is left of a term is worth, by the length of the whole."""
    left = ends - max(begins, now)
    if left <= timedelta():
        return NOTHING
    return _share(value, left, ends - begins)


def credited_days(*, credit: Decimal, price: Decimal, length: timedelta) -> timedelta:
    """Whole days of a plan that the credit comes to, rounded up in the customer's favour."""
    days = credit * Decimal(length // DAY) / price
    return DAY * int(days.to_integral_value(ROUND_CEILING))


def refunded_time(*, taken: Decimal, value: Decimal, length: timedelta) -> timedelta:
    """The share of a term's length that goes with the value taken from it."""
    if not value:
        return timedelta()
    microseconds = Decimal(length // timedelta(microseconds=1)) * taken / value
    return timedelta(microseconds=int(microseconds.to_integral_value(ROUND_HALF_UP)))


def _share(value: Decimal, part: timedelta, whole: timedelta) -> Decimal:
    unit = timedelta(microseconds=1)
    return (value * (part // unit) / (whole // unit)).quantize(KOPECK, ROUND_HALF_UP)


def spread_over_the_day(identity: UUID) -> timedelta:
    """A moment of the day that is always the same for one identity and even over many."""
    seconds = int.from_bytes(sha256(identity.bytes).digest()[:8]) % (24 * 3600)
    return timedelta(seconds=seconds)
