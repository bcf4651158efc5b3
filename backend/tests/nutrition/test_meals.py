"""Meals that are written, changed, moved and copied; their days, and what they sum to."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from apps.accounts.models import User
from apps.nutrition.models import NUTRIENTS, Meal, MealItem, Measure
from apps.nutrition.queries import get_day
from apps.nutrition.services import Portion, create_meal
from apps.nutrition.services import diary as services
from tests.http import at_once, client_of, make_user, problem
from tests.nutrition.eating import OWN, PIE, day_of, make_food, ok, send, write_meal

pytestmark = pytest.mark.django_db

AT = "2026-01-31T12:00+03:00"
MOSCOW, TOKYO, NEW_YORK = "Europe/Moscow", "Asia/Tokyo", "America/New_York"
APIA = "Pacific/Apia"


def everything() -> list[Any]:
    """Every meal and every line of one."""
    return [*Meal.objects.order_by("pk").values(), *MealItem.objects.order_by("pk").values()]


def test_a_meal_of_weights_measures_and_anything(eater: Client) -> None:
    rice = make_food(title_ru="Рис", title_en="Rice", grams_each="0.02")
    Measure.objects.create(food=rice, position=1, amount=2, name="cups", grams=316)
    meal = write_meal(
        eater,
        {"food_id": rice.pk, "grams": 150},
        {"food_id": rice.pk, "measure": "cups", "amount": 0.5},
        {"food_id": rice.pk, "measure": "each"},
        PIE,
    )
    assert [(item["name"], item["grams"], item["energy_kcal"]) for item in meal["items"]] == [
        ("Рис", 150.0, 195.0),
        ("Рис", 79.0, 102.7),
        ("Рис", 0.02, 0.03),  # rounded half up
        ("Grandmother's pie", 120.0, 320.0),
    ]
    assert [item["food_id"] for item in meal["items"]] == [rice.pk] * 3 + [None]
    assert meal["totals"] == {
        "energy_kcal": 617.73,
        "protein_g": 12.17,
        "fat_g": 12.64,
        "carbohydrate_g": 110.52,
    }
    assert (meal["date"], meal["time_zone"]) == ("2026-01-31", "Europe/Moscow")
    assert meal["eaten_at"] == "2026-01-31T09:00:00Z"
    assert ok(eater, "get", f"diary/meals/{meal['id']}") == meal
    assert day_of(eater, "2026-01-31")["meals"] == [meal]


def test_a_meal_is_eaten_now_where_it_is_not_said(user: User, eater: Client) -> None:
    before = datetime.now(UTC)
    meal = ok(eater, "post", "diary/meals", {"items": [PIE]})
    assert before <= Meal.objects.get(pk=meal["id"]).eaten_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"food_id": 1},
        {"food_id": 1, "grams": 10, "measure": "cup"},
        {"food_id": 1, "grams": 0},
        {"food_id": 1, "grams": 10_001},
        {"food_id": 0, "grams": 1},
        {"food_id": 2**63, "grams": 1},
        {"food_id": 1, "measure": "", "amount": 1},
        {"food_id": 1, "measure": "cup", "amount": 0},
        {"food_id": 1, "measure": "cup", "amount": 1001},
        {**PIE, "energy_kcal": -1},
        {**PIE, "name": " "},
        {**PIE, "fat_g": "NaN"},
        {**PIE, "more": 1},
        "pie",
        None,
        [],
        7,
    ],
)
def test_what_is_no_item_is_refused(eater: Client, item: Any) -> None:
    body = {"eaten_at": AT, "items": [PIE, item]}
    problem(send(eater, "post", "diary/meals", body), 422, "invalid_request")
    meal = write_meal(eater)
    before = everything()
    problem(send(eater, "post", f"diary/meals/{meal['id']}/items", item), 422, "invalid_request")
    assert everything() == before


@pytest.mark.parametrize(
    "at",
    [
        *("2026-01-31T12:00", "2026-01-31", "yesterday", "", None, 1700000000, 1.5, True),
        *("1970-01-01T12:00Z", "2199-12-31T00:00Z", "0001-01-01T00:00+14:00", "2026-01-31T25:00Z"),
    ],
)
def test_a_time_needs_an_offset_and_a_sane_year(eater: Client, at: Any) -> None:
    meal = write_meal(eater)
    before = everything()
    response = send(eater, "patch", f"diary/meals/{meal['id']}", {"eaten_at": at})
    body = problem(response, 422, "invalid_request")
    assert [error["field"].split(".")[-1] for error in body["errors"]] == ["eaten_at"]
    assert everything() == before


@pytest.mark.parametrize("number", [0, 101])
def test_a_meal_has_one_to_a_hundred_items(eater: Client, number: int) -> None:
    body = {"eaten_at": AT, "items": [PIE] * number}
    problem(send(eater, "post", "diary/meals", body), 422, "invalid_request")
    assert not Meal.objects.exists()


def test_what_a_meal_names_must_be_there(eater: Client) -> None:
    rice = make_food()
    for item, code in [
        ({"food_id": rice.pk + 1, "grams": 1}, "unknown_food"),
        ({"food_id": rice.pk, "measure": "cup"}, "unknown_measure"),
    ]:
        body = problem(send(eater, "post", "diary/meals", {"items": [PIE, item]}), 404, code)
        assert body["title"]
    Measure.objects.create(food=rice, position=1, amount=1, name="sack", grams=9000)
    item = {"food_id": rice.pk, "measure": "sack", "amount": 2}
    problem(send(eater, "post", "diary/meals", {"items": [item]}), 422, "implausible_amount")
    assert not Meal.objects.exists()


@pytest.mark.parametrize("items", [1, 60])
def test_writing_costs_as_many_queries_however_much_was_eaten(
    eater: Client, items: int, django_assert_max_num_queries: Any
) -> None:
    rice = make_food()
    with django_assert_max_num_queries(8):
        write_meal(eater, *[{"food_id": rice.pk, "grams": 1}] * items)


# ---- A phone that repeats itself


def test_the_same_key_makes_one_meal(eater: Client) -> None:
    body = {"eaten_at": AT, "items": [PIE]}
    first = ok(eater, "post", "diary/meals", body, idempotency_key="k-1")
    assert ok(eater, "post", "diary/meals", body, idempotency_key="k-1") == first
    assert ok(eater, "post", "diary/meals", body, idempotency_key="k-2")["id"] != first["id"]
    theirs = ok(client_of(make_user()), "post", "diary/meals", body, idempotency_key="k-1")
    assert theirs["id"] != first["id"]
    copies = [
        ok(eater, "post", f"diary/meals/{first['id']}/copy", {"date": "2026-02-01"}, **key)
        for key in [{"idempotency_key": "k-3"}] * 2
    ]
    assert copies[0] == copies[1]
    assert Meal.objects.count() == 4


def test_a_repeated_request_is_answered_also_when_its_food_is_gone(eater: Client) -> None:
    food = ok(eater, "post", "foods", OWN)["id"]
    body = {"eaten_at": AT, "items": [{"food_id": food, "grams": 50}]}
    first = ok(eater, "post", "diary/meals", body, idempotency_key="k")
    ok(eater, "delete", f"foods/{food}")
    assert ok(eater, "post", "diary/meals", body, idempotency_key="k")["id"] == first["id"]
    problem(send(eater, "post", "diary/meals", body, idempotency_key="l"), 404, "unknown_food")
    assert Meal.objects.count() == 1


def test_a_key_of_another_request_is_refused(eater: Client) -> None:
    body = {"eaten_at": AT, "items": [PIE]}
    meal = ok(eater, "post", "diary/meals", body, idempotency_key="k")
    copy = f"diary/meals/{meal['id']}/copy"
    ok(eater, "post", copy, {"date": "2026-02-01"}, idempotency_key="c")
    before = everything()
    for path, other, key in [
        ("diary/meals", {**body, "items": [PIE, PIE]}, "k"),
        ("diary/meals", {"items": [PIE]}, "k"),
        (copy, {"date": "2026-02-01"}, "k"),
        (copy, {"date": "2026-02-02"}, "c"),
    ]:
        answer = send(eater, "post", path, other, idempotency_key=key)
        problem(answer, 422, "idempotency_key_reused")
    assert everything() == before


@pytest.mark.parametrize("key", ["", "x" * 65, "with space", "ключ"])
def test_a_key_is_short_and_plain(eater: Client, key: str) -> None:
    response = send(eater, "post", "diary/meals", {"items": [PIE]}, idempotency_key=key)
    problem(response, 422, "invalid_request")
    assert not Meal.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_same_key_from_many_at_once_makes_one_meal() -> None:
    user = make_user()
    body = {"eaten_at": AT, "items": [PIE, PIE]}
    answers = at_once(
        6, lambda: send(client_of(user), "post", "diary/meals", body, idempotency_key="k")
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert (Meal.objects.count(), MealItem.objects.count()) == (1, 2)


# ---- Changing


def test_items_are_added_changed_and_taken_away(eater: Client) -> None:
    meal = write_meal(eater)
    path = f"diary/meals/{meal['id']}/items"
    rice = make_food()
    added = ok(eater, "post", path, {"food_id": rice.pk, "grams": 100})
    assert [item["name"] for item in added["items"]] == ["Grandmother's pie", "Rice"]
    pie, line = (item["id"] for item in added["items"])

    halved = ok(eater, "patch", f"{path}/{pie}", {"grams": 60})["items"][0]
    assert halved == {**added["items"][0], "grams": 60.0, "energy_kcal": 160.0} | {
        "protein_g": 3.0,
        "fat_g": 6.0,
        "carbohydrate_g": 23.0,
    }
    corrected = ok(eater, "patch", f"{path}/{pie}", {"grams": 120, "fat_g": 20, "name": "Pie"})
    assert corrected["items"][0] == {**halved, "name": "Pie", "grams": 120.0, "fat_g": 20.0} | {
        "energy_kcal": 320.0,
        "protein_g": 6.0,
        "carbohydrate_g": 46.0,
    }
    assert ok(eater, "patch", f"{path}/{pie}", {}) == corrected

    ok(eater, "delete", f"{path}/{pie}")
    (left,) = day_of(eater, "2026-01-31")["meals"]
    assert [item["id"] for item in left["items"]] == [line]
    again = ok(eater, "post", path, PIE)
    assert [item["name"] for item in again["items"]] == ["Rice", "Grandmother's pie"]


def test_with_its_last_item_a_meal_goes(eater: Client) -> None:
    meal = write_meal(eater)
    ok(eater, "delete", f"diary/meals/{meal['id']}/items/{meal['items'][0]['id']}")
    problem(send(eater, "get", f"diary/meals/{meal['id']}"), 404, "not_found")
    assert everything() == []


def test_a_full_meal_takes_no_more(eater: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    meal = write_meal(eater)
    monkeypatch.setattr(services, "MAX_ITEMS", 1)
    before = everything()
    problem(send(eater, "post", f"diary/meals/{meal['id']}/items", PIE), 409, "meal_full")
    assert everything() == before


def test_a_weight_that_blows_the_numbers_up_is_refused(eater: Client) -> None:
    meal = write_meal(eater, {**PIE, "grams": 0.01, "energy_kcal": 100_000})
    before = everything()
    path = f"diary/meals/{meal['id']}/items/{meal['items'][0]['id']}"
    problem(send(eater, "patch", path, {"grams": 10_000}), 422, "implausible_amount")
    assert everything() == before


def test_an_item_without_a_weight_can_be_given_one(user: User, eater: Client) -> None:
    nothing = dict.fromkeys(("grams", *NUTRIENTS), Decimal(0))
    meal = create_meal(
        user=user, eaten_at=datetime.now(UTC), portions=[Portion(name="?", **nothing)]
    )
    path = f"diary/meals/{meal.pk}/items/{meal.items.get().pk}"
    assert ok(eater, "patch", path, {"grams": 50})["items"][0]["grams"] == 50.0


def test_a_meal_is_deleted_with_its_items(eater: Client) -> None:
    kept, gone = write_meal(eater), write_meal(eater, PIE, PIE)
    ok(eater, "delete", f"diary/meals/{gone['id']}")
    assert day_of(eater, "2026-01-31")["meals"] == [kept]
    assert MealItem.objects.count() == 1
    problem(send(eater, "delete", f"diary/meals/{gone['id']}"), 404, "not_found")


@pytest.mark.django_db(transaction=True)
def test_items_added_at_once_all_have_places_of_their_own() -> None:
    user = make_user()
    meal = write_meal(client_of(user))
    path = f"diary/meals/{meal['id']}/items"
    answers = at_once(5, lambda: send(client_of(user), "post", path, PIE))
    assert {answer.status_code for answer in answers} == {201}
    positions = MealItem.objects.order_by("position").values_list("position", flat=True)
    assert list(positions) == [0, 1, 2, 3, 4, 5]


@pytest.mark.django_db(transaction=True)
def test_a_meal_deleted_many_times_at_once_is_deleted_once() -> None:
    user = make_user()
    meal = write_meal(client_of(user))
    answers = at_once(4, lambda: send(client_of(user), "delete", f"diary/meals/{meal['id']}"))
    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404]


# ---- Days


def test_a_moved_meal_is_of_its_new_day(eater: Client) -> None:
    meal = write_meal(eater)
    moved = ok(eater, "patch", f"diary/meals/{meal['id']}", {"eaten_at": "2026-02-01T00:00+03:00"})
    assert moved == {**meal, "date": "2026-02-01", "eaten_at": "2026-01-31T21:00:00Z"}
    assert day_of(eater, "2026-01-31")["meals"] == []
    assert day_of(eater, "2026-02-01")["meals"] == [moved]


def test_a_travellers_meals_stay_on_the_days_they_were_eaten_on(user: User, eater: Client) -> None:
    """Breakfast in Tokyo is last night in New York; it stays the breakfast of its day."""
    ok(eater, "patch", "profile", {"time_zone": "Asia/Tokyo"})
    breakfast = write_meal(eater, at="2026-01-31T08:00+09:00")
    assert breakfast["date"] == "2026-01-31"
    ok(eater, "patch", "profile", {"time_zone": "America/New_York"})
    assert day_of(eater, "2026-01-31")["meals"] == [breakfast]
    assert day_of(eater, "2026-01-30")["meals"] == []
    # Later by the clock, the same calendar day: both are of it, in the order they were eaten.
    dinner = write_meal(eater, at="2026-01-31T19:00-05:00")
    assert day_of(eater, "2026-01-31")["meals"] == [breakfast, dinner]
    # Moved from here, it becomes one of the day it is here.
    moved = ok(
        eater, "patch", f"diary/meals/{breakfast['id']}", {"eaten_at": breakfast["eaten_at"]}
    )
    assert (moved["date"], moved["time_zone"]) == ("2026-01-30", "America/New_York")


@pytest.mark.parametrize(
    ("eaten_in", "at", "copied_in", "day", "copy_at"),
    [
        (MOSCOW, AT, MOSCOW, "2026-02-01", "2026-02-01T09:00:00Z"),
        (MOSCOW, AT, MOSCOW, "2026-01-31", "2026-01-31T09:00:00Z"),
        # Breakfast at eight stays a breakfast at eight, wherever.
        (TOKYO, "2026-01-31T08:00+09:00", MOSCOW, "2026-02-02", "2026-02-02T05:00:00Z"),
        # Across New York's clock changes, and into the hour that the first leaves out.
        (NEW_YORK, "2026-03-07T12:00-05:00", NEW_YORK, "2026-03-08", "2026-03-08T16:00:00Z"),
        (NEW_YORK, "2026-03-07T02:30-05:00", NEW_YORK, "2026-03-08", "2026-03-08T07:30:00Z"),
        # The first of two half past ones, also where it was the second that was eaten at.
        (NEW_YORK, "2025-11-02T01:30-05:00", NEW_YORK, "2026-11-01", "2026-11-01T05:30:00Z"),
        # Samoa had no 30 December 2011 at all.
        (APIA, "2011-12-29T12:00-10:00", APIA, "2011-12-30", "2011-12-30T22:00:00Z"),
    ],
)
def test_a_copy_is_eaten_at_the_same_time_of_the_other_day(
    eaten_in: str, at: str, copied_in: str, day: str, copy_at: str
) -> None:
    user = make_user(time_zone=eaten_in)
    client = client_of(user)
    meal = write_meal(client, PIE, {**PIE, "name": "Tea"}, at=at)
    ok(client, "patch", "profile", {"time_zone": copied_in})
    copy = ok(client, "post", f"diary/meals/{meal['id']}/copy", {"date": day})
    assert (copy["date"], copy["eaten_at"], copy["time_zone"]) == (day, copy_at, copied_in)
    assert copy["totals"] == meal["totals"]
    assert [item["name"] for item in copy["items"]] == [item["name"] for item in meal["items"]]
    assert {item["id"] for item in copy["items"]}.isdisjoint(item["id"] for item in meal["items"])
    assert copy in day_of(client, day)["meals"]
    assert meal in day_of(client, meal["date"])["meals"]


def test_a_copy_keeps_the_food_that_it_is_of(eater: Client) -> None:
    rice = make_food()
    meal = write_meal(eater, {"food_id": rice.pk, "grams": 100})
    rice.energy_kcal = Decimal(1)
    rice.save()
    copy = ok(eater, "post", f"diary/meals/{meal['id']}/copy", {"date": "2026-02-01"})
    assert (copy["items"][0]["food_id"], copy["totals"]) == (rice.pk, meal["totals"])


@pytest.mark.parametrize("day", ["2026-02-30", "1969-12-31", "tomorrow", 0, None])
def test_a_copy_needs_a_day(eater: Client, day: Any) -> None:
    meal = write_meal(eater)
    before = everything()
    response = send(eater, "post", f"diary/meals/{meal['id']}/copy", {"date": day})
    problem(response, 422, "invalid_request")
    assert everything() == before


@pytest.mark.parametrize("meal_id", ["0", "9223372036854775807", "9" * 40, "x", "-1"])
def test_a_meal_that_is_none_is_not_found(eater: Client, meal_id: str) -> None:
    response = send(eater, "delete", f"diary/meals/{meal_id}")
    problem(response, 404, "not_found")


def test_a_meal_that_another_release_writes_has_a_day_too(user: User) -> None:
    """Its INSERT does not name the columns that it does not know."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO nutrition_meal (user_id, eaten_at, created_at) VALUES (%s, now(), now())",
            [user.pk],
        )
    meal = Meal.objects.get()
    assert meal.time_zone == "Europe/Moscow"
    assert meal.date == meal.created_at.astimezone(ZoneInfo("Europe/Moscow")).date()


def test_meals_from_before_get_the_days_of_their_eaters() -> None:
    """What the migration does for those that were written without a day."""
    migration = import_module("apps.nutrition.migrations.0003_days_of_meals")
    at = datetime(2026, 1, 31, 22, 30, tzinfo=UTC)
    zones = ("UTC", "Asia/Tokyo", "Pacific/Honolulu", "Nowhere/There")
    meals = [Meal(user=make_user(time_zone=zone), eaten_at=at) for zone in zones]
    for meal in meals:
        meal.date, meal.time_zone = date(2026, 2, 1), "Europe/Moscow"
        meal.save()
    with connection.cursor() as cursor:
        cursor.execute(migration.DATE_MEALS)
    assert list(Meal.objects.order_by("pk").values_list("date", "time_zone")) == [
        (date(2026, 1, 31), "UTC"),
        (date(2026, 2, 1), "Asia/Tokyo"),
        (date(2026, 1, 31), "Pacific/Honolulu"),
        (date(2026, 2, 1), "Europe/Moscow"),
    ]


# ---- Properties

ZONES = ("UTC", "Europe/Moscow", "America/Havana", "Pacific/Auckland", "Pacific/Apia")
cents = st.decimals(0, 9999, places=2)
portions = st.builds(
    Portion,
    name=st.just("x"),
    grams=cents,
    energy_kcal=cents,
    protein_g=cents,
    fat_g=cents,
    carbohydrate_g=cents,
)
moments = st.integers(0, 80_000 * 86_400).map(
    lambda seconds: datetime(1971, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


class Days(TestCase):  # type: ignore[misc]
    @given(zone=st.sampled_from(ZONES), lines=st.lists(st.lists(portions, max_size=4), max_size=4))
    def test_a_day_comes_to_the_sum_of_its_lines_in_whatever_order(
        self, zone: str, lines: list[list[Portion]]
    ) -> None:
        user = make_user(time_zone=zone)
        noon = datetime(2026, 1, 31, 12, tzinfo=ZoneInfo(zone))
        for number, meal in enumerate(reversed(lines)):
            create_meal(user=user, eaten_at=noon - timedelta(minutes=number), portions=meal)
        totals = get_day(user=user, day=date(2026, 1, 31)).totals
        for name in NUTRIENTS:
            expected = sum((getattr(line, name) for meal in lines for line in meal), Decimal(0))
            assert totals[name] == expected

    @given(zone=st.sampled_from(ZONES), later=st.sampled_from(ZONES), at=moments)
    def test_every_meal_is_of_one_day_and_stays_there(
        self, zone: str, later: str, at: datetime
    ) -> None:
        user = make_user(time_zone=zone)
        meal = create_meal(user=user, eaten_at=at, portions=[])
        own = at.astimezone(ZoneInfo(zone)).date()
        user.time_zone = later
        user.save()
        for beside in (-2, -1, 0, 1, 2):
            shown = get_day(user=user, day=own + timedelta(days=beside)).meals
            assert shown == ([meal] if beside == 0 else [])
