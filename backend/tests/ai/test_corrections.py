"""The user has the last word on what it was; what the model said is kept, and measured by it."""

import json
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from apps.ai.models import CorrectedItem, RecognizedItem
from tests.ai.asking import URL, accept, asked, look, settled
from tests.http import client_of, make_user, problem
from tests.sandbox.requests import order

pytestmark = pytest.mark.django_db

NUTRIENTS = ("energy_kcal", "protein_g", "fat_g", "carbohydrate_g")
BREAD = {
    "name": "Bread",
    "grams": 40,
    "energy_kcal": 100,
    "protein_g": 3,
    "fat_g": 1,
    "carbohydrate_g": 19,
}


def correct(client: Client, pk: UUID, items: Any) -> Any:
    return client.put(f"{URL}/{pk}/items", {"items": items}, content_type="application/json")


@pytest.fixture
def soup(eater: Client, model: httpx.Client) -> UUID:
    """A recognition of two items: soup, 300 g, and tea, 200 g."""
    return settled(asked(eater, "soup 300 g, tea 200 ml")).pk


def test_what_is_left_out_is_as_the_model_said(eater: Client, soup: UUID) -> None:
    said = look(eater, soup).json()["items"]
    response = correct(eater, soup, [{"item_id": said[0]["id"], "grams": 150}, BREAD])
    assert response.status_code == 200, response.content
    shown = response.json()
    assert shown == look(eater, soup).json()
    assert shown["corrected"] is True
    first, second = shown["items"]
    assert (first["id"], first["name"], first["grams"]) == (said[0]["id"], "soup", 150.0)
    assert first["confidence"] == said[0]["confidence"]
    for name in NUTRIENTS:
        assert first[name] == pytest.approx(said[0][name] / 2, abs=0.01)
    assert (second["id"], second["confidence"]) == (None, None)
    assert {name: second[name] for name in BREAD} == BREAD
    kept = [(item.name, item.grams) for item in RecognizedItem.objects.all()]
    assert kept == [("soup", Decimal(300)), ("tea", Decimal(200))], "beside, not instead"


def test_the_last_word_counts_and_becomes_the_meal(eater: Client, soup: UUID) -> None:
    (first, _) = look(eater, soup).json()["items"]
    correct(eater, soup, [BREAD])
    correct(eater, soup, [{"item_id": first["id"], "name": "Borscht", "energy_kcal": 99}])
    meal = accept(eater, soup).json()
    (item,) = meal["items"]
    assert (item["name"], item["grams"], item["energy_kcal"]) == ("Borscht", 300.0, 99.0)
    assert CorrectedItem.objects.count() == 1


def test_what_the_model_overlooked_can_be_said(eater: Client, model: httpx.Client) -> None:
    pk = settled(asked(eater, "a table")).pk
    problem(accept(eater, pk), 409, "nothing_to_count")
    assert correct(eater, pk, [BREAD]).json()["items"][0]["name"] == "Bread"
    assert accept(eater, pk).status_code == 201


def test_an_item_whose_energy_is_off_is_doubtful(eater: Client, soup: UUID) -> None:
    items = correct(eater, soup, [BREAD, {**BREAD, "energy_kcal": 200}]).json()["items"]
    assert [item["doubtful"] for item in items] == [False, True]
    assert [item["energy_kcal"] for item in items] == [100.0, 200.0], "marked, not changed"


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([], "invalid_request"),
        ([BREAD] * 51, "invalid_request"),
        ([{**BREAD, "grams": 0}], "invalid_request"),
        ([{**BREAD, "grams": "many"}], "invalid_request"),
        ([{**BREAD, "fat_g": None}], "invalid_request"),
        ([{**BREAD, "taste": "good"}], "invalid_request"),
        ([{**BREAD, "name": " "}], "invalid_request"),
        ([{**BREAD, "name": "ri\x00ce"}], "invalid_request"),
        ([{"grams": 5}], "invalid_request"),
        ([BREAD, {"item_id": 1}], "no_such_item"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    eater: Client, soup: UUID, items: Any, code: str
) -> None:
    before = look(eater, soup).json()
    assert before["items"][0]["id"] != 1
    problem(correct(eater, soup, items), 422, code)
    assert look(eater, soup).json() == before


def test_items_of_others_are_not_taken(eater: Client, soup: UUID) -> None:
    other = client_of(make_user())
    theirs = look(other, settled(asked(other, "bread")).pk).json()["items"][0]["id"]
    problem(correct(eater, soup, [{"item_id": theirs}]), 422, "no_such_item")


def test_nothing_becomes_more_than_a_diary_takes(eater: Client, model: httpx.Client) -> None:
    dense = {"name": "x", "grams": 0.01, "kcal": 20000, "protein_g": 0, "fat_g": 0, "carbs_g": 0}
    plate = {"is_food": True, "items": [dense | {"confidence": 1}], "notes": ""}
    order(model, "content", content=json.dumps(plate))
    pk = settled(asked(eater, "x")).pk
    item_id = look(eater, pk).json()["items"][0]["id"]
    problem(correct(eater, pk, [{"item_id": item_id, "grams": 10_000}]), 422, "too_much")
    assert not CorrectedItem.objects.exists()


def test_only_what_is_done_and_no_meal_yet_is_corrected(eater: Client, soup: UUID) -> None:
    waiting = asked(eater, "bread")
    problem(correct(eater, waiting, [BREAD]), 409, "recognition_not_done")
    accept(eater, soup)
    problem(correct(eater, soup, [BREAD]), 409, "recognition_accepted")
    assert not CorrectedItem.objects.exists()


def test_the_report_says_how_far_off_each_model_is(model: httpx.Client, settings: Settings) -> None:
    def eat(name: str, text: str, grams: float | None) -> None:
        settings.AI_MODEL = name
        client = client_of(make_user())
        pk = settled(asked(client, text)).pk
        if grams is not None:
            item = look(client, pk).json()["items"][0]["id"]
            assert correct(client, pk, [{"item_id": item, "grams": grams}]).status_code == 200
        accept(client, pk)

    eat("good/model", "soup 100 g", None)
    eat("good/model", "soup 100 g", 80)  # 25 % too much
    eat("poor/model", "soup 100 g", 400)  # 75 % too little
    settings.AI_MODEL = "poor/model"
    settled(asked(client_of(make_user()), "soup 100 g"))
    order(model, "content_filter")
    settled(asked(client_of(make_user()), "bread"))

    output = StringIO()
    call_command("ai_report", stdout=output)
    lines = [line.strip("| ").split(" | ") for line in output.getvalue().splitlines()]
    assert ["good/model", "2", "2", "50.0 %", "12.5 %", "12.5 %"] in lines
    assert ["poor/model", "2", "1", "100.0 %", "75.0 %", "75.0 %"] in lines
    costs = {line[0]: line[1:3] for line in lines[-2:]}
    assert costs == {"good/model": ["2", "0"], "poor/model": ["3", "1"]}


def test_the_report_of_nothing_is_empty() -> None:
    output = StringIO()
    call_command("ai_report", "--days", "1", stdout=output)
    assert len(output.getvalue().splitlines()) == 5
