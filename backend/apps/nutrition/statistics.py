"""A range of days in numbers: averages, streaks, the trend of the weight."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Sum

from apps.accounts.models import User
from apps.accounts.queries import weights_between
from apps.accounts.services import today_of
from apps.nutrition.models import NUTRIENTS, MealItem, Targets
from apps.nutrition.services.diary import round_to_cents

DAY = timedelta(days=1)
WEEK = 7


@dataclass(frozen=True, kw_only=True)
class DayRow:
    """One day of the range; `totals` is None where nothing was logged."""

    date: date
    totals: dict[str, Decimal] | None
    targets: Targets | None
    weight_kg: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """`averages` are per logged day; None where there is nothing to average."""

    days: Sequence[DayRow]
    logged_days: int
    averages: dict[str, Decimal] | None
    current_streak: int
    longest_streak: int
    weight_kg_per_week: Decimal | None


def get_statistics(*, user: User, first: date, last: date) -> Statistics:
    """The days from `first` to `last`, both included. Three queries, whatever the range."""
    totals = _totals_by_date(user, first, last)
    targets = list(Targets.objects.filter(user=user, from_date__lte=last).order_by("from_date"))
    weights = {
        weight.date: weight.kg for weight in weights_between(user=user, first=first, last=last)
    }
    dates = [first + DAY * number for number in range((last - first).days + 1)]
    days = [
        DayRow(
            date=day,
            totals=totals.get(day),
            targets=_targets_on(targets, day),
            weight_kg=weights.get(day),
        )
        for day in dates
    ]
    runs = _runs(day in totals for day in dates)
    return Statistics(
        days=days,
        logged_days=len(totals),
        averages=_average(totals.values()),
        current_streak=_current(dates, totals.keys(), today_of(user)),
        longest_streak=max(runs, default=0),
        weight_kg_per_week=slope_per_week(weights),
    )


def _totals_by_date(user: User, first: date, last: date) -> dict[date, dict[str, Decimal]]:
    sums = (
        MealItem.objects.filter(meal__user=user, meal__date__range=(first, last))
        .order_by()
        .values_list("meal__date")
        .annotate(*(Sum(name) for name in NUTRIENTS))
    )
    return {day: dict(zip(NUTRIENTS, totals, strict=True)) for day, *totals in sums}


def _targets_on(history: Sequence[Targets], day: date) -> Targets | None:
    place = bisect_right(history, day, key=lambda targets: targets.from_date)
    if not place or history[place - 1].energy_kcal is None:
        return None
    return history[place - 1]


def _average(days: Collection[dict[str, Decimal]]) -> dict[str, Decimal] | None:
    if not days:
        return None
    return {name: round_to_cents(_mean([day[name] for day in days])) for name in NUTRIENTS}


def _runs(logged: Iterable[bool]) -> list[int]:
    """The lengths of unbroken runs of logged days, in their order."""
    runs, run = [], 0
    for day in logged:
        run = run + 1 if day else 0
        runs.append(run)
    return runs


def _current(dates: Sequence[date], logged: Iterable[date], today: date) -> int:
    """The run that reaches the end of the range. A today without a meal yet breaks none."""
    known = set(logged)
    upto = [day for day in dates if day < today or (day == today and day in known)]
    runs = _runs(day in known for day in upto)
    return runs[-1] if runs else 0


def slope_per_week(weights: dict[date, Decimal]) -> Decimal | None:
    """Kilograms a week by ordinary least squares over the days that were weighed.

    None with fewer than two of them.
    """
    if len(weights) < 2:
        return None
    start = min(weights)
    days = [Decimal((day - start).days) for day in weights]
    mean_day, mean_kg = _mean(days), _mean(weights.values())
    off = [day - mean_day for day in days]
    rise = sum(
        (x * (kg - mean_kg) for x, kg in zip(off, weights.values(), strict=True)), Decimal(0)
    )
    return round_to_cents(rise / sum((x * x for x in off), Decimal(0)) * WEEK)


def _mean(numbers: Collection[Decimal]) -> Decimal:
    return sum(numbers, Decimal(0)) / len(numbers)
