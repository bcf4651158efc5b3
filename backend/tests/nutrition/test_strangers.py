"""What is another's is not there: 404 for every route that takes an id, and nothing is changed.

And what is known of a person is told whole, and forgotten whole.
"""

import json
from typing import Any

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.test import Client

from apps.accounts.models import User
from apps.accounts.personal_data import registered
from apps.nutrition.api import diary, foods, statistics, targets
from apps.nutrition.models import Favourite, Food, Meal, MealItem, Targets
from tests.http import client_of, make_user, problem
from tests.nutrition.eating import NOTHING, OWN, PIE, make_food, ok, send, write_meal

pytestmark = pytest.mark.django_db

ROUTES: list[tuple[str, str, Any]] = [
    ("get", "diary/meals/{meal}", NOTHING),
    ("patch", "diary/meals/{meal}", {"eaten_at": "2026-03-01T12:00Z"}),
    ("delete", "diary/meals/{meal}", NOTHING),
    ("post", "diary/meals/{meal}/copy", {"date": "2026-03-01"}),
    ("post", "diary/meals/{meal}/items", PIE),
    ("patch", "diary/meals/{meal}/items/{item}", {"grams": 1}),
    ("delete", "diary/meals/{meal}/items/{item}", NOTHING),
    ("get", "foods/{food}", NOTHING),
    ("put", "foods/{food}", OWN),
    ("delete", "foods/{food}", NOTHING),
    ("put", "foods/{food}/favourite", NOTHING),
    ("delete", "foods/{food}/favourite", NOTHING),
]


def everything() -> list[Any]:
    peoples = [model.objects.all() for model in (Meal, MealItem, Favourite, Targets)]
    peoples.append(Food.objects.filter(owner__isnull=False))
    return [list(rows.order_by("pk").values()) for rows in peoples]


def fill(client: Client) -> dict[str, int]:
    """A little of all there is; and the ids of it."""
    food = ok(client, "post", "foods", OWN)["id"]
    ok(client, "put", f"foods/{food}/favourite")
    meal = write_meal(client, {"food_id": food, "grams": 50}, PIE)
    ok(
        client,
        "put",
        "targets",
        {"energy_kcal": 2000, "protein_g": 100, "fat_g": 60, "carbohydrate_g": 265},
    )
    return {"food": food, "meal": meal["id"], "item": meal["items"][0]["id"]}


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_anothers_is_not_there(eater: Client, method: str, path: str, body: Any) -> None:
    theirs = fill(client_of(make_user()))
    fill(eater)
    before = everything()
    problem(send(eater, method, path.format(**theirs), body), 404, "not_found")
    assert everything() == before


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_ones_own_is(eater: Client, method: str, path: str, body: Any) -> None:
    mine = fill(eater)
    assert send(eater, method, path.format(**mine), body).status_code < 300


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_an_item_is_of_its_own_meal_alone(eater: Client, method: str) -> None:
    mine, theirs = fill(eater), fill(client_of(make_user()))
    other = write_meal(eater)["id"]
    before = everything()
    for meal, item in [(other, mine["item"]), (mine["meal"], theirs["item"])]:
        path = f"diary/meals/{meal}/items/{item}"
        problem(send(eater, method, path, {"grams": 1}), 404, "not_found")
    assert everything() == before


def test_anothers_food_is_not_eaten(eater: Client) -> None:
    theirs = fill(client_of(make_user()))
    mine = fill(eater)
    before = everything()
    for item in (
        {"food_id": theirs["food"], "grams": 1},
        {"food_id": theirs["food"], "measure": "each"},
    ):
        problem(send(eater, "post", "diary/meals", {"items": [PIE, item]}), 404, "unknown_food")
        path = f"diary/meals/{mine['meal']}/items"
        problem(send(eater, "post", path, item), 404, "unknown_food")
    assert everything() == before


def test_every_route_with_an_id_is_tried_above() -> None:
    prefixes = {"diary": diary, "foods": foods, "targets": targets, "statistics": statistics}
    named = {
        (method.lower(), f"{prefix}{path}".replace("int:", "").replace("_id}", "}"))
        for prefix, router in prefixes.items()
        for path, view in router.path_operations.items()
        for operation in view.operations
        for method in operation.methods
        if "_id}" in path
    }
    assert named == {(method, path) for method, path, _ in ROUTES}


def test_lists_hold_ones_own_alone(eater: Client) -> None:
    fill(client_of(make_user()))
    for path in ("foods/own", "foods/recent", "foods/favourites", "foods?q=grandmother"):
        assert ok(eater, "get", path) == {"foods": []}


# ---- What is known of a person


def part() -> Any:
    (found,) = (data for data in registered() if data.name == "nutrition")
    return found


def test_all_is_told(user: User, eater: Client, django_assert_max_num_queries: Any) -> None:
    fill(eater)
    fill(client_of(make_user()))
    ok(eater, "put", f"foods/{make_food().pk}/favourite")
    with django_assert_max_num_queries(5):
        told = json.loads(json.dumps(part().export(user), cls=DjangoJSONEncoder))
    assert [len(told[name]) for name in ("meals", "foods", "favourites", "targets")] == [1, 1, 2, 1]
    assert told["foods"][0]["name"] == OWN["name"]
    (meal,) = told["meals"]
    assert (meal["date"], meal["time_zone"]) == ("2026-01-31", "Europe/Moscow")
    assert [item["energy_kcal"] for item in meal["items"]] == ["160.00", "320.00"]
    assert told["targets"][0]["by_hand"] is True


def test_all_is_forgotten_and_nothing_of_others(user: User, eater: Client) -> None:
    table = make_food()
    fill(client_of(make_user()))
    before = everything()
    fill(eater)
    ok(eater, "put", f"foods/{table.pk}/favourite")
    write_meal(eater, {"food_id": table.pk, "grams": 1})
    part().erase(user)
    assert everything() == before
    user.delete()
    assert everything() == before
