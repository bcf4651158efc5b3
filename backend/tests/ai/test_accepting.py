"""A recognition becomes a meal once, and only if there is something to count."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.ai.models import Recognition, RecognizedItem
from apps.nutrition.models import Meal
from apps.nutrition.schemas import PortionOut
from tests.ai.asking import accept, asked, look, recognized
from tests.http import at_once, client_of, make_user, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("foods")]


def today() -> date:
    return timezone.now().astimezone(ZoneInfo("Europe/Moscow")).date()


def diary(client: Client) -> Any:
    return client.get(f"/api/v1/diary/{today()}").json()


def portion(item: dict[str, Any]) -> dict[str, Any]:
    """What a line of a recognition and one of a meal both say."""
    return {name: item[name] for name in PortionOut.model_fields}


def test_accepted_it_is_a_meal_and_accepted_again_the_same(user: User, eater: Client) -> None:
    pk = recognized(eater)
    first = accept(eater, pk)
    assert first.status_code == 201, first.content
    meal = first.json()
    shown = look(eater, pk).json()
    assert shown["meal_id"] == meal["id"] == Meal.objects.get(user=user).pk
    assert [portion(item) for item in meal["items"]] == [portion(item) for item in shown["items"]]
    assert meal["totals"]["energy_kcal"] == sum(item["energy_kcal"] for item in shown["items"])
    again = accept(eater, pk)
    assert (again.status_code, again.json()) == (201, meal)
    assert Meal.objects.count() == 1
    counted = diary(eater)
    assert counted["meals"] == [meal]
    assert counted["totals"] == meal["totals"]


def test_what_is_not_done_cannot_be_accepted(eater: Client) -> None:
    pk = asked(eater)
    for status in ("pending", "running"):
        Recognition.objects.update(status=status)
        body = problem(accept(eater, pk), 409, "recognition_not_done")
        assert body["title"] == "Еда ещё не распознана"
    assert not Meal.objects.exists()


def test_nothing_cannot_be_accepted(eater: Client) -> None:
    pk = recognized(eater, "зюзя")
    shown = look(eater, pk).json()
    assert (shown["items"], shown["notes"]) == ([], "Не распознано: зюзя.")
    body = problem(accept(eater, pk), 409, "nothing_to_count")
    assert body["title"] == "Здесь нечего посчитать"
    assert not Meal.objects.exists()


def test_the_meal_is_its_eaters_alone(eater: Client) -> None:
    accept(eater, recognized(eater))
    assert diary(client_of(make_user()))["meals"] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("times", [2, 8])
def test_accepted_many_times_at_once_it_is_one_meal(times: int) -> None:
    user = make_user()
    recognition = Recognition.objects.create(user=user, text="x", language="ru", status="done")
    RecognizedItem.objects.create(
        recognition=recognition,
        position=0,
        name="Rice",
        grams=100,
        confidence=1,
        energy_kcal=130,
        protein_g=2,
        fat_g=0,
        carbohydrate_g=28,
    )
    responses = at_once(times, lambda: accept(client_of(user), recognition.pk))
    assert [response.status_code for response in responses] == [201] * times
    assert len({response.content for response in responses}) == 1
    assert Meal.objects.count() == 1
