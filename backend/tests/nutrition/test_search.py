"""The search finds what people mean, first, whatever they type."""

import csv
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import User
from apps.nutrition.search import fold, search_foods
from tests.http import client_of, make_user, problem
from tests.nutrition.eating import OWN, ok, send

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("foods")]

with (Path(__file__).parent / "searches.csv").open(encoding="utf-8", newline="") as file:
    SEARCHES = [(row["query"], row["ndb_no"]) for row in csv.DictReader(file)]


def find(client: Client, q: str, **more: Any) -> list[dict[str, Any]]:
    response = client.get("/api/v1/foods", {"q": q, **more})
    assert response.status_code == 200, response.content
    found: list[dict[str, Any]] = response.json()["foods"]
    return found


def test_the_sensible_food_is_first(user: User) -> None:
    assert len(SEARCHES) >= 40
    firsts = {q: search_foods(user=user, text=q, limit=1) for q, _ in SEARCHES}
    assert {q: food[0].source_id if food else None for q, food in firsts.items()} == dict(SEARCHES)


def test_other_foods_of_the_word_come_before_words_that_only_begin_so(eater: Client) -> None:
    titles = [food["title"] for food in find(eater, "яйцо", limit=8)]
    assert "Яйцо пашот" in titles
    assert "Баклажан" not in titles
    names = [food["name"] for food in find(eater, "egg", limit=8)]
    assert "Egg, white, raw, fresh" in names
    assert not any("Eggplant" in name for name in names)


def test_everyday_foods_come_before_obscure_ones(user: User) -> None:
    found = search_foods(user=user, text="chicken", limit=50)
    everyday = [bool(food.title_ru) for food in found]
    assert True in everyday
    assert everyday == sorted(everyday, reverse=True)


@pytest.mark.parametrize(("language", "title"), [("ru", "Гречка"), ("en", "Buckwheat")])
def test_a_food_is_shown_whole_and_in_the_language_asked_for(
    eater: Client, language: str, title: str
) -> None:
    answer = send(eater, "get", "foods?q=гречка&limit=1", accept_language=language)
    (food,) = answer.json()["foods"]
    assert food["title"] == title
    assert food["name"] == "Buckwheat groats, roasted, cooked"
    assert (food["energy_kcal"], food["own"], food["favourite"]) == (92.0, False, False)
    assert {"name": "cup", "grams": 168.0} in food["measures"]


@pytest.mark.parametrize("limit", [1, 50])
def test_three_queries_however_much_is_found(user: User, limit: int) -> None:
    client = client_of(user)
    with CaptureQueriesContext(connection) as queries:
        assert len(find(client, "c", limit=limit)) == limit
    assert len(queries) == 3  # who, foods, measures


@pytest.mark.parametrize("q", ["яйцо", "eggs boi", "wh mi", "капуст"])
def test_the_index_is_used(user: User, q: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE nutrition_food")
    with CaptureQueriesContext(connection) as queries:
        search_foods(user=user, text=q, limit=20)
    (sql,) = (query["sql"] for query in queries if "to_tsquery" in query["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Bitmap Index Scan on food_search" in plan, plan
    assert "Seq Scan on nutrition_food " not in plan, plan


@pytest.mark.parametrize(
    "q", ["", " ", "&|!:*'", "()", "<->", "\\", "'''", "%", "_", "…«»", "😀", "\u0308"]
)
def test_what_holds_no_word_finds_nothing(eater: Client, q: str) -> None:
    assert find(eater, q) == []


@pytest.mark.parametrize(
    "q", ["egg' | 'x", "egg:*", "!egg", "egg & milk | tea", "egg\\", "'; DROP TABLE x; --", "egg:A"]
)
def test_the_language_of_queries_is_not_spoken(eater: Client, q: str) -> None:
    assert find(eater, q) == find(eater, fold(q))


def test_a_sign_of_like_is_a_letter_like_others(eater: Client) -> None:
    assert find(eater, "e%") == find(eater, "e")


@pytest.mark.parametrize("q", ["\x00", "egg\x00", "x" * 10_000, "x" * 101])
def test_what_cannot_be_a_food_is_refused(eater: Client, q: str) -> None:
    body = problem(eater.get("/api/v1/foods", {"q": q}), 422, "invalid_request")
    assert [error["field"] for error in body["errors"]] == ["q"]


@pytest.mark.parametrize("limit", ["0", "51", "-1", "x", "1e9"])
def test_limits_are_limited(eater: Client, limit: str) -> None:
    problem(eater.get("/api/v1/foods", {"q": "egg", "limit": limit}), 422, "invalid_request")


def test_bytes_that_are_no_text_are_an_answer_too(eater: Client) -> None:
    assert eater.get("/api/v1/foods?q=%ED%A0%80%FF").status_code == 200


@given(text=st.text(max_size=40) | st.text("яegs12 &|!:*'\\()<>-", max_size=40))
def test_any_text_is_answered(text: str) -> None:
    user = User(pk=1)
    found = search_foods(user=user, text=text.replace("\x00", ""), limit=3)
    assert len(found) <= 3


def test_own_foods_come_first_and_are_nobody_elses(eater: Client) -> None:
    mine = ok(eater, "post", "foods", {**OWN, "name": "Ёлкины щи из яйца"})
    found = find(eater, "яйцо")
    assert found[0] == mine
    assert (mine["own"], mine["title"]) == (True, "Ёлкины щи из яйца")
    assert find(eater, "елкин")[0]["id"] == mine["id"]
    other = client_of(make_user())
    assert mine["id"] not in [food["id"] for food in find(other, "яйцо", limit=50)]
    assert find(other, "елкины щи") == []
