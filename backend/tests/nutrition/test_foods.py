"""Own foods, recents and favourites; and whose numbers are to be doubted."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import User
from apps.ai.local import LocalProvider
from apps.ai.models import RecognizedItem
from apps.nutrition.models import Food, MealItem, Nutrients
from apps.nutrition.services import foods as services
from tests.http import client_of, make_user, problem
from tests.nutrition.eating import OWN, PIE, day_of, make_food, ok, send, write_meal

pytestmark = pytest.mark.django_db


def test_an_own_food_is_made_changed_and_forgotten(user: User, eater: Client) -> None:
    made = ok(eater, "post", "foods", {**OWN, "grams_each": 120.005})
    assert made["title"] == made["name"] == OWN["name"]
    assert (made["own"], made["grams_each"]) == (True, 120.01)
    assert made["measures"] == [{"name": "each", "grams": 120.01}]
    assert ok(eater, "get", f"foods/{made['id']}") == made

    changed = ok(eater, "put", f"foods/{made['id']}", {**OWN, "name": "Pie", "fat_g": 11})
    assert changed == {**made, "name": "Pie", "title": "Pie", "fat_g": 11.0} | {
        "grams_each": None,
        "measures": [],
    }
    assert ok(eater, "get", "foods/own")["foods"] == [changed]

    ok(eater, "delete", f"foods/{made['id']}")
    problem(send(eater, "get", f"foods/{made['id']}"), 404, "not_found")
    assert not user.foods.exists()


def test_what_was_eaten_of_an_own_food_outlives_it(eater: Client) -> None:
    food = ok(eater, "post", "foods", OWN)
    meal = write_meal(eater, {"food_id": food["id"], "grams": 50})
    assert meal["items"][0]["energy_kcal"] == 160.0
    ok(eater, "put", f"foods/{food['id']}", {**OWN, "energy_kcal": 999})
    assert day_of(eater, "2026-01-31")["meals"] == [meal]
    ok(eater, "delete", f"foods/{food['id']}")
    (item,) = day_of(eater, "2026-01-31")["meals"][0]["items"]
    assert item == {**meal["items"][0], "food_id": None}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", ""), ("name", "  "), ("name", "x" * 129), ("name", "a\x00"), ("name", None)),
        *(("energy_kcal", -1), ("energy_kcal", 1000.01), ("energy_kcal", "many")),
        *(
            ("protein_g", 100.5),
            ("fat_g", -0.01),
            ("carbohydrate_g", None),
            ("fat_g", True),
            ("fat_g", "1"),
        ),
        *(("grams_each", 0), ("grams_each", 10_001), ("owner", 1), ("source_id", "01001")),
    ],
)
def test_an_own_food_is_within_reason(user: User, eater: Client, field: str, value: Any) -> None:
    body = problem(send(eater, "post", "foods", {**OWN, field: value}), 422, "invalid_request")
    assert [error["field"].split(".")[-1] for error in body["errors"]] == [field]
    assert not user.foods.exists()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_number_that_is_none_is_refused(user: User, eater: Client, number: str) -> None:
    body = (
        f'{{"name": "x", "energy_kcal": {number}, "protein_g": 1, "fat_g": 1, "carbohydrate_g": 1}}'
    )
    response = eater.post("/api/v1/foods", body, content_type="application/json")
    assert response.status_code in (400, 422)
    assert not user.foods.exists()


def test_half_a_character_is_refused(user: User, eater: Client) -> None:
    response = send(eater, "post", "foods", {**OWN, "name": "\ud800"})
    problem(response, 422, "invalid_request")
    assert not user.foods.exists()


@pytest.mark.parametrize("method", ["put", "delete"])
def test_the_table_is_nobodys_to_change(eater: Client, method: str) -> None:
    food = make_food()
    before = Food.objects.values().get(pk=food.pk)
    problem(send(eater, method, f"foods/{food.pk}", OWN), 404, "not_found")
    assert Food.objects.values().get(pk=food.pk) == before


def test_there_is_an_end_to_own_foods_and_favourites(
    user: User, eater: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MAX_OWN_FOODS", 1)
    monkeypatch.setattr(services, "MAX_FAVOURITES", 1)
    first, second = ok(eater, "post", "foods", OWN)["id"], make_food().pk
    problem(send(eater, "post", "foods", OWN), 409, "too_many_foods")
    ok(eater, "put", f"foods/{first}/favourite")
    ok(eater, "put", f"foods/{first}/favourite")
    problem(send(eater, "put", f"foods/{second}/favourite"), 409, "too_many_foods")
    assert (user.foods.count(), user.favourites.count()) == (1, 1)


def test_favourites_are_kept_once_and_shown_newest_first(user: User, eater: Client) -> None:
    rice, tea = make_food(), make_food("x2", name="Tea")
    for food in (rice, tea, rice):
        assert send(eater, "put", f"foods/{food.pk}/favourite").status_code == 204
    shown = ok(eater, "get", "foods/favourites")["foods"]
    assert [(food["name"], food["favourite"]) for food in shown] == [("Tea", True), ("Rice", True)]
    assert len(ok(eater, "get", "foods/favourites?limit=1")["foods"]) == 1
    for _ in range(2):
        assert send(eater, "delete", f"foods/{tea.pk}/favourite").status_code == 204
    assert [favourite.food for favourite in user.favourites.all()] == [rice]
    assert ok(eater, "get", f"foods/{tea.pk}")["favourite"] is False


def test_recents_are_each_food_once_by_when_it_was_last_eaten(user: User, eater: Client) -> None:
    rice, tea = make_food(), make_food("x2", name="Tea")
    now = timezone.now()
    for hours, food in [(9, rice), (8, tea), (7, rice), (24 * 91, make_food("x3", name="Old"))]:
        at = (now - timedelta(hours=hours)).isoformat()
        write_meal(eater, {"food_id": food.pk, "grams": 10}, PIE, at=at)
    assert [food["name"] for food in ok(eater, "get", "foods/recent")["foods"]] == ["Rice", "Tea"]
    assert [food["name"] for food in ok(eater, "get", "foods/recent?limit=1")["foods"]] == ["Rice"]
    assert ok(client_of(make_user()), "get", "foods/recent")["foods"] == []


def numbers(energy: str, protein: str, fat: str, carbohydrate: str) -> dict[str, Decimal]:
    names = ("energy_kcal", "protein_g", "fat_g", "carbohydrate_g")
    values = (energy, protein, fat, carbohydrate)
    return {name: Decimal(value) for name, value in zip(names, values, strict=True)}


@pytest.mark.parametrize("model", [Food, MealItem, RecognizedItem])
@pytest.mark.parametrize(
    ("nutrients", "doubtful"),
    [
        (("400", "0", "0", "100"), False),
        (("500", "0", "0", "100"), False),  # just 25 % above
        (("500.01", "0", "0", "100"), True),
        (("300", "0", "0", "100"), False),  # just 25 % below
        (("299.99", "0", "0", "100"), True),
        (("1", "0", "0", "0.3"), False),  # tea
        (("5", "0", "0", "0"), False),
        (("5.01", "0", "0", "0"), True),
        (("0", "0", "0", "0"), False),
        (("235", "0", "0", "0"), True),  # vodka: alcohol is no macronutrient
        (("100", "0", "100", "0"), True),  # kilojoules, and a comma that slipped
    ],
)
def test_numbers_that_do_not_agree_are_doubtful(
    model: type[Nutrients], nutrients: tuple[str, str, str, str], doubtful: bool
) -> None:
    assert model(**numbers(*nutrients)).doubtful is doubtful


def test_what_is_doubtful_is_marked_and_not_changed(eater: Client) -> None:
    vodka = {"energy_kcal": 235, "protein_g": 0, "fat_g": 0, "carbohydrate_g": 0}
    food = ok(eater, "post", "foods", {"name": "Vodka", **vodka})
    assert (food["doubtful"], food["energy_kcal"]) == (True, 235.0)
    meal = write_meal(eater, {"name": "Vodka", "grams": 100, **vodka}, PIE)
    assert [(item["doubtful"], item["energy_kcal"]) for item in meal["items"]] == [
        (True, 235.0),
        (False, 320.0),
    ]


grams = st.decimals(0, 1000, places=2)


@given(energy=grams, protein=grams, fat=grams, carbohydrate=grams)
def test_doubt_is_the_same_for_a_whole_and_for_what_agrees(
    energy: Decimal, protein: Decimal, fat: Decimal, carbohydrate: Decimal
) -> None:
    agreed = 4 * protein + 9 * fat + 4 * carbohydrate
    macros = {"protein_g": protein, "fat_g": fat, "carbohydrate_g": carbohydrate}
    assert not Food(energy_kcal=agreed, **macros).doubtful
    expected = abs(energy - agreed) > max(agreed / 4, Decimal(5))
    assert Food(energy_kcal=energy, **macros).doubtful is expected


def test_the_table_keeps_its_foods_apart_from_people(user: User) -> None:
    """A food is of the table or somebody's; the database holds that."""
    for fields in ({"owner": user, "source_id": "x"}, {"owner": None, "source_id": None}):
        with pytest.raises(IntegrityError, match="food_owned_or_of_table"), transaction.atomic():
            Food.objects.create(name="x", **fields, **numbers("1", "0", "0", "0"))


def test_a_text_is_not_recognised_by_somebodys_own_foods(user: User) -> None:
    Food.objects.create(owner=user, name="Zyuzya", group="", **numbers("1", "0", "0", "0"))
    assert LocalProvider().recognize(text="zyuzya", language="en").items == ()
