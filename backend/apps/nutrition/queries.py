"""What reads the diary."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from apps.accounts.models import User
from apps.nutrition.models import NUTRIENTS, Meal, Nutrients


@dataclass(frozen=True)
class Day:
    """A day of the diary, by the calendar of its owner."""

    date: date
    meals: list[Meal]

    @property
    def totals(self) -> dict[str, Decimal]:
        return sum_nutrients(item for meal in self.meals for item in meal.items.all())


def get_day(*, user: User, day: date) -> Day:
    """The meals eaten between two midnights of the user's zone; two queries."""
    zone = ZoneInfo(user.time_zone)
    begins = datetime.combine(day, time.min, zone)
    ends = datetime.combine(day + timedelta(days=1), time.min, zone)
    meals = (
        Meal.objects.filter(user=user, eaten_at__gte=begins, eaten_at__lt=ends)
        .order_by("eaten_at", "pk")
        .prefetch_related("items")
    )
    return Day(date=day, meals=list(meals))


def sum_nutrients(items: Iterable[Nutrients]) -> dict[str, Decimal]:
    totals = dict.fromkeys(NUTRIENTS, Decimal(0))
    for item in items:
        for name in NUTRIENTS:
            totals[name] += getattr(item, name)
    return totals
