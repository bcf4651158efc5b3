"""A range of days in numbers, in as many queries for a year as for a week."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import assume, given
from hypothesis import strategies as st

from apps.accounts.models import User, Weight
from apps.accounts.services import today_of
from apps.nutrition.models import Targets
from apps.nutrition.statistics import slope_per_week
from tests.http import client_of, make_user, problem
from tests.nutrition.eating import PIE, ZERO, day_of, ok, send, write_meal

pytestmark = pytest.mark.django_db

FIRST = date(2026, 1, 1)


def statistics(client: Client, first: date, last: date) -> Any:
    return ok(client, "get", f"statistics?from={first}&to={last}")


def eat(client: Client, *days: date, **numbers: Any) -> None:
    for day in days:
        write_meal(client, {**PIE, **numbers}, at=f"{day}T12:00+03:00")


def january(*days: int) -> list[date]:
    return [date(2026, 1, day) for day in days]


def test_an_empty_range_has_its_days_and_nothing_else(eater: Client) -> None:
    assert statistics(eater, FIRST, FIRST) == {
        "logged_days": 0,
        "averages": None,
        "current_streak": 0,
        "longest_streak": 0,
        "weight_kg_per_week": None,
        "days": [{"date": "2026-01-01", "totals": None, "targets": None, "weight_kg": None}],
    }


def test_averages_are_per_logged_day_and_exact(eater: Client) -> None:
    eat(eater, *january(1, 1, 1), energy_kcal=0.1, fat_g=0)
    eat(eater, *january(3), energy_kcal=0.7, fat_g=0)
    eat(eater, *january(5), energy_kcal=5000)  # outside
    shown = statistics(eater, FIRST, date(2026, 1, 4))
    assert shown["logged_days"] == 2
    assert shown["averages"] == {
        "energy_kcal": 0.5,
        "protein_g": 12.0,
        "fat_g": 0.0,
        "carbohydrate_g": 92.0,
    }
    assert [day["totals"] and day["totals"]["energy_kcal"] for day in shown["days"]] == [
        *(0.3, None, 0.7, None)
    ]
    assert shown["days"][0]["totals"] == day_of(eater, "2026-01-01")["totals"]


def test_others_days_are_not_counted(eater: Client) -> None:
    eat(client_of(make_user()), FIRST)
    assert statistics(eater, FIRST, FIRST)["logged_days"] == 0


def test_a_day_of_water_is_a_logged_day(eater: Client) -> None:
    eat(eater, FIRST, **ZERO)
    shown = statistics(eater, FIRST, FIRST)
    assert (shown["logged_days"], shown["averages"]) == (1, ZERO)


@pytest.mark.parametrize(
    ("days", "current", "longest"),
    [
        ([], 0, 0),
        ([1], 0, 1),
        ([10], 1, 1),
        ([1, 2, 3, 9, 10], 2, 3),
        ([2, 3, 4, 6, 7], 0, 3),
        (list(range(1, 11)), 10, 10),
    ],
)
def test_streaks_are_logged_days_in_a_row(
    eater: Client, days: list[int], current: int, longest: int
) -> None:
    eat(eater, *january(*days))
    shown = statistics(eater, FIRST, date(2026, 1, 10))
    assert (shown["current_streak"], shown["longest_streak"]) == (current, longest)


def test_a_today_without_a_meal_yet_breaks_no_streak(user: User, eater: Client) -> None:
    today = today_of(user)
    eat(eater, *(today - timedelta(days=days) for days in (1, 2, 4)))
    first = today - timedelta(days=6)
    assert statistics(eater, first, today)["current_streak"] == 2
    assert statistics(eater, first, today + timedelta(days=3))["current_streak"] == 2
    assert statistics(eater, first, today - timedelta(days=3))["current_streak"] == 0
    eat(eater, today)
    assert statistics(eater, first, today)["current_streak"] == 3


def test_each_day_has_the_targets_and_the_weight_that_it_had(user: User, eater: Client) -> None:
    for day, energy in [(2, 2000), (4, None), (5, 1800)]:
        numbers = dict.fromkeys(ZERO, energy)
        Targets.objects.create(user=user, from_date=date(2026, 1, day), **numbers)
    Weight.objects.create(user=user, date=date(2026, 1, 3), kg=Decimal("80.55"))
    days = statistics(eater, FIRST, date(2026, 1, 6))["days"]
    assert [day["targets"] and day["targets"]["energy_kcal"] for day in days] == [
        *(None, 2000.0, 2000.0, None, 1800.0, 1800.0)
    ]
    assert [day["weight_kg"] for day in days] == [None, None, 80.55, None, None, None]


@pytest.mark.parametrize(
    ("weights", "slope"),
    [
        ({}, None),
        ({1: "80"}, None),
        ({1: "80", 8: "79"}, -1.0),
        ({1: "80", 2: "80", 31: "80"}, 0.0),
        ({1: "80", 15: "81"}, 0.5),
        # By hand: days 0, 1, 3 and kg 80, 80.5, 79.5 have a slope of −3/14 kg a day.
        ({1: "80", 2: "80.5", 4: "79.5"}, -1.5),
    ],
)
def test_the_trend_is_the_slope_of_least_squares(
    user: User, eater: Client, weights: dict[int, str], slope: float | None
) -> None:
    for day, kg in weights.items():
        Weight.objects.create(user=user, date=date(2026, 1, day), kg=Decimal(kg))
    Weight.objects.create(user=user, date=date(2026, 2, 1), kg=Decimal(200))
    assert statistics(eater, FIRST, date(2026, 1, 31))["weight_kg_per_week"] == slope


@given(
    days=st.lists(st.integers(0, 365), unique=True, min_size=2, max_size=30),
    start=st.decimals(40, 200, places=2),
    daily=st.decimals("-0.5", "0.5", places=2),
    shift=st.integers(0, 3000),
)
def test_of_weights_on_a_line_the_slope_is_the_lines(
    days: list[int], start: Decimal, daily: Decimal, shift: int
) -> None:
    assume(len(days) > 1)
    weights = {FIRST + timedelta(days=day + shift): start + daily * day for day in days}
    assert slope_per_week(weights) == daily * 7


def queries_for(client: Client, first: date, days: int) -> int:
    with CaptureQueriesContext(connection) as queries:
        shown = statistics(client, first, first + timedelta(days=days - 1))
    assert len(shown["days"]) == days
    return len(queries)


def test_a_year_costs_as_many_queries_as_a_week(user: User, eater: Client) -> None:
    eat(eater, *(FIRST + timedelta(days=days) for days in range(0, 366, 9)))
    for days in range(0, 366, 30):
        day = FIRST + timedelta(days=days)
        Weight.objects.create(user=user, date=day, kg=80)
        Targets.objects.create(user=user, from_date=day, **ZERO)
    # Who, meals, targets, weights.
    assert queries_for(eater, FIRST, 7) == queries_for(eater, FIRST, 366) == 4


@pytest.mark.parametrize(
    ("first", "last"),
    [("2026-01-02", "2026-01-01"), ("2025-01-01", "2026-01-02"), ("1970-01-01", "2199-12-31")],
)
def test_a_range_is_a_year_at_most_and_not_backwards(eater: Client, first: str, last: str) -> None:
    problem(send(eater, "get", f"statistics?from={first}&to={last}"), 422, "bad_range")


@pytest.mark.parametrize(
    "query", ["", "from=2026-01-01", "to=2026-01-01", "from=x&to=2026-01-01", "from=0&to=0"]
)
def test_a_range_has_two_dates(eater: Client, query: str) -> None:
    problem(send(eater, "get", f"statistics?{query}"), 422, "invalid_request")


def test_a_traveller_counts_each_day_once(user: User, eater: Client) -> None:
    eat(eater, *january(1, 2))
    ok(eater, "patch", "profile", {"time_zone": "Pacific/Auckland"})
    shown = statistics(eater, FIRST, date(2026, 1, 3))
    assert [bool(day["totals"]) for day in shown["days"]] == [True, True, False]
