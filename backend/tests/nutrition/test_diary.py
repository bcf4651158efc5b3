"""The diary: a day is its owner's, and its totals are exact."""

from collections.abc import Iterable
from datetime import date as date_type
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.nutrition.models import Meal
from apps.nutrition.services import Portion, create_meal
from tests.http import client_of, make_user, problem
from tests.nutrition.eating import ZERO

pytestmark = pytest.mark.django_db

AUCKLAND, NEW_YORK, HAVANA = "Pacific/Auckland", "America/New_York", "America/Havana"


def portion(name: str = "Rice", **numbers: str) -> Portion:
    usual = dict.fromkeys(ZERO, "0") | {"grams": "100"} | numbers
    return Portion(name=name, **{field: Decimal(number) for field, number in usual.items()})


def eat(user: User, at: datetime, portions: Iterable[Portion] = ()) -> Meal:
    return create_meal(user=user, eaten_at=at, portions=portions or [portion()])


def day(client: Client, date: str) -> dict[str, Any]:
    response = client.get(f"/api/v1/diary/{date}")
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    return body


def test_an_empty_day_comes_to_nothing(eater: Client) -> None:
    assert day(eater, "2026-01-01") == {
        "date": "2026-01-01",
        "totals": ZERO,
        "targets": None,
        "left": None,
        "missing": ["sex", "birth_year", "height_cm", "weight_kg"],
        "meals": [],
    }


@pytest.mark.parametrize(
    ("zone", "local", "date"),
    [
        ("UTC", "2026-03-01T23:30+00:00", "2026-03-01"),
        ("Europe/Moscow", "2026-03-01T23:30+03:00", "2026-03-01"),
        ("Europe/Moscow", "2026-03-02T00:30+03:00", "2026-03-02"),
        (AUCKLAND, "2026-01-15T23:30+13:00", "2026-01-15"),
        (AUCKLAND, "2026-01-16T00:30+13:00", "2026-01-16"),
        # Midnights themselves: the first instant of a day is its own, the last one too.
        (AUCKLAND, "2026-01-16T00:00+13:00", "2026-01-16"),
        (AUCKLAND, "2026-01-15T23:59:59.999999+13:00", "2026-01-15"),
        # Auckland's clocks go back on 5 April 2026 at three, forward on 27 September at two.
        (AUCKLAND, "2026-04-05T00:30+13:00", "2026-04-05"),
        (AUCKLAND, "2026-04-05T23:30+12:00", "2026-04-05"),
        (AUCKLAND, "2026-04-06T00:30+12:00", "2026-04-06"),
        (AUCKLAND, "2026-09-27T00:30+12:00", "2026-09-27"),
        (AUCKLAND, "2026-09-27T23:30+13:00", "2026-09-27"),
        (AUCKLAND, "2026-09-28T00:30+13:00", "2026-09-28"),
        # New York's go forward on 8 March and back on 1 November, at two.
        (NEW_YORK, "2026-03-08T00:30-05:00", "2026-03-08"),
        (NEW_YORK, "2026-03-08T23:30-04:00", "2026-03-08"),
        (NEW_YORK, "2026-03-09T00:30-04:00", "2026-03-09"),
        (NEW_YORK, "2026-11-01T00:30-04:00", "2026-11-01"),
        (NEW_YORK, "2026-11-01T23:30-05:00", "2026-11-01"),
        (NEW_YORK, "2026-11-02T00:30-05:00", "2026-11-02"),
        # Havana's go back from one to midnight: half past midnight comes twice in one day.
        (HAVANA, "2026-11-01T00:30-04:00", "2026-11-01"),
        (HAVANA, "2026-11-01T00:30-05:00", "2026-11-01"),
        (HAVANA, "2026-10-31T23:30-04:00", "2026-10-31"),
    ],
)
def test_a_meal_is_of_the_day_that_its_eater_had(zone: str, local: str, date: str) -> None:
    user = make_user(time_zone=zone)
    at = datetime.fromisoformat(local)
    assert at.astimezone(ZoneInfo(zone)).date().isoformat() == date
    meal = eat(user, at)
    client = client_of(user)
    (shown,) = day(client, date)["meals"]
    assert shown["id"] == meal.pk
    assert datetime.fromisoformat(shown["eaten_at"]) == at.replace(
        microsecond=at.microsecond // 1000 * 1000
    )
    for beside in (-1, 1):
        neighbour = date_type.fromisoformat(date) + timedelta(days=beside)
        assert day(client, neighbour.isoformat())["meals"] == []


def test_totals_are_sums_of_decimals(user: User, eater: Client) -> None:
    at = datetime.fromisoformat("2026-01-01T12:00+03:00")
    tenth = portion(energy_kcal="0.1", protein_g="0.01", fat_g="1234567.89", carbohydrate_g="0.7")
    eat(user, at, [tenth] * 3)
    eat(user, at, [tenth] * 7)
    shown = day(eater, "2026-01-01")
    # Ten tenths added as doubles come to 0.9999999999999999.
    assert shown["totals"] == {
        "energy_kcal": 1.0,
        "protein_g": 0.1,
        "fat_g": 12345678.9,
        "carbohydrate_g": 7.0,
    }
    assert [meal["totals"]["energy_kcal"] for meal in shown["meals"]] == [0.3, 0.7]


def test_a_meal_lists_its_portions_in_order_as_numbers(user: User, eater: Client) -> None:
    at = datetime.fromisoformat("2026-01-01T12:00+03:00")
    eat(user, at, [portion("Rice", grams="150", energy_kcal="195.5"), portion("Eggs")])
    eat(user, at.replace(hour=8), [portion("Tea")])
    first, second = day(eater, "2026-01-01")["meals"]
    assert [item["name"] for item in first["items"]] == ["Tea"]
    assert [item["name"] for item in second["items"]] == ["Rice", "Eggs"]
    rice = second["items"][0]
    assert rice == {**ZERO, "name": "Rice", "grams": 150.0, "energy_kcal": 195.5} | {
        "id": rice["id"],
        "food_id": None,
        "doubtful": True,
    }


def test_others_meals_are_not_seen(user: User, eater: Client) -> None:
    at = datetime.fromisoformat("2026-01-01T12:00+03:00")
    eat(make_user(), at, [portion(energy_kcal="500")])
    assert day(eater, "2026-01-01")["totals"] == ZERO
    mine = eat(user, at)
    assert [meal["id"] for meal in day(eater, "2026-01-01")["meals"]] == [mine.pk]


@pytest.mark.parametrize("meals", [1, 30])
def test_a_day_costs_as_many_queries_however_full_it_is(
    user: User, eater: Client, meals: int, django_assert_num_queries: Any
) -> None:
    at = datetime.fromisoformat("2026-01-01T12:00+03:00")
    for _ in range(meals):
        eat(user, at, [portion()] * 5)
    # Who, meals, items, targets; and where there are none, a weight, to say what is missing.
    with django_assert_num_queries(5):
        assert len(day(eater, "2026-01-01")["meals"]) == meals


@pytest.mark.parametrize("date", ["1970-01-01", "2024-02-29", "2199-12-31"])
def test_dates_that_are_served(eater: Client, date: str) -> None:
    assert day(eater, date)["date"] == date


@pytest.mark.parametrize(
    "date",
    [
        *("1969-12-31", "2200-01-01", "0001-01-01", "9999-12-31", "10000-01-01"),
        *("2026-02-29", "2026-13-01", "2026-00-10", "2026-01-32", "0000-00-00"),
        *("today", "null", "NaN", "2026", "2026-1-1", "20260101", "2026-W01-1", "01.02.2026"),
        *("0", "1700000000", "1699920000", "1699920000000", "-1699920000", "1e9", "inf"),
        *("2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "2026-01-01 ", " 2026-01-01"),
        *("２０２６-01-01", "2026-01-01%00", "2026-01-01%0A", "%D1%8F", "-2026-01-01", "9" * 500),
    ],
)
def test_what_is_no_date_of_the_diary_is_refused(eater: Client, date: str) -> None:
    body = problem(eater.get(f"/api/v1/diary/{date}"), 422, "invalid_request")
    assert [error["field"] for error in body["errors"]] == ["date"]


def test_a_date_is_not_looked_up_for_who_is_not_logged_in(client: Client) -> None:
    problem(client.get("/api/v1/diary/today"), 401, "not_authenticated")
