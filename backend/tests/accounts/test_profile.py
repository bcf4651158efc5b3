"""The profile: said piece by piece, held to what is sane, and told to who computes from it."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.accounts import services
from apps.accounts.models import User, Weight
from apps.accounts.queries import weight_on
from apps.accounts.services import on_profile_change, today_of
from tests.http import at_once, client_of, make_user, problem

pytestmark = pytest.mark.django_db

URL = "/api/v1/profile"
NEW = {
    "first_name": "",
    "sex": "",
    "birth_year": None,
    "height_cm": None,
    "weight_kg": None,
    "activity": "sedentary",
    "goal": "keep",
    "time_zone": "Europe/Moscow",
    "language": "ru",
}
ANNA = {
    "sex": "female",
    "birth_year": 1990,
    "height_cm": 168.5,
    "activity": "very_active",
    "goal": "lose",
    "time_zone": "Asia/Tokyo",
    "language": "en",
}


def change(client: Client, body: Any, **headers: str) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    return client.patch(URL, text, content_type="application/json", headers=headers)


def weigh(client: Client, day: Any, kg: Any) -> Any:
    return client.put(f"{URL}/weights/{day}", {"kg": kg}, content_type="application/json")


def weights(client: Client, **span: Any) -> list[tuple[str, float]]:
    response = client.get(f"{URL}/weights", span)
    assert response.status_code == 200, response.content
    return [(weight["date"], weight["kg"]) for weight in response.json()["weights"]]


def state() -> list[Any]:
    return [*User.objects.order_by("pk").values(), *Weight.objects.order_by("pk").values()]


# ---- The profile


def test_nobody_has_to_say_anything(eater: Client) -> None:
    assert eater.get(URL).json() == NEW


def test_what_is_named_is_set_and_the_rest_stays(eater: Client) -> None:
    other = client_of(make_user())
    assert change(eater, ANNA).json() == NEW | ANNA
    assert change(eater, {}).json() == NEW | ANNA
    for name, value in {"sex": "male", "height_cm": 170, "birth_year": None}.items():
        expected = {**eater.get(URL).json(), name: value}
        assert change(eater, {name: value}).json() == expected
        assert eater.get(URL).json() == expected
    assert other.get(URL).json() == NEW


@pytest.mark.parametrize(
    ("name", "value", "english", "russian"),
    [
        ("sex", "none", "Takes 'male', 'female' or ''", "Допустимо"),
        ("sex", None, "", ""),
        ("birth_year", datetime.now(UTC).year - 5, "somebody who is 10 to 120", "от 10 до 120"),
        ("birth_year", 1900, "somebody who is 10 to 120", "от 10 до 120"),
        ("birth_year", 0, "Takes at least 1900", "не меньше 1900"),
        ("birth_year", 10**30, "Takes at most", "не больше"),
        ("birth_year", 1990.5, "", ""),
        ("birth_year", "1990", "", ""),
        ("birth_year", True, "", ""),
        ("height_cm", 99.9, "Takes at least 100", "не меньше 100"),
        ("height_cm", 250.1, "Takes at most 250", "не больше 250"),
        ("height_cm", 1.68, "Takes at least 100", "не меньше 100"),
        ("height_cm", "168", "Takes a number", "Принимается число"),
        ("height_cm", [168], "", ""),
        ("activity", "lazy", "Takes 'sedentary'", "Допустимо"),
        ("activity", None, "", ""),
        ("goal", "", "Takes 'lose', 'keep' or 'gain'", "Допустимо"),
        ("time_zone", "Mars/Base", "There is no such time zone", "пояса нет"),
        ("time_zone", "../../etc/passwd", "There is no such time zone", "пояса нет"),
        ("time_zone", "A" * 65, "Takes at most 64 characters", "Не длиннее 64"),
        ("time_zone", "Europe/\0", "There is no such time zone", "пояса нет"),
        ("language", "de", "Takes 'ru' or 'en'", "Допустимо"),
        ("weight_kg", 60, "Is not known here", "Такого поля"),
        ("telegram_id", 1, "Is not known here", "Такого поля"),
        ("is_staff", True, "Is not known here", "Такого поля"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_and_changes_nothing(
    eater: Client, name: str, value: Any, english: str, russian: str
) -> None:
    change(eater, ANNA)
    before = state()
    for language, says in (("en", english), ("ru", russian)):
        answer = change(eater, {"goal": "gain", name: value}, **{"Accept-Language": language})
        errors = problem(answer, 422, "invalid_request")["errors"]
        assert {error["field"].split(".")[1] for error in errors} == {name}
        assert says in " ".join(error["message"] for error in errors)
    assert state() == before


def test_more_places_than_are_kept_are_rounded(eater: Client) -> None:
    assert change(eater, {"height_cm": 168.55}).json()["height_cm"] == 168.6
    assert weigh(eater, "2026-01-01", 70.125).json()["kg"] == 70.13


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1e-400", "true"])
@pytest.mark.parametrize("name", ["height_cm", "birth_year"])
def test_what_is_no_number_is_refused(eater: Client, name: str, number: str) -> None:
    before = state()
    problem(change(eater, f'{{"{name}": {number}}}'), 422, "invalid_request")
    assert state() == before


# ---- Weights


def test_one_weight_a_day_and_the_latest_word_wins(eater: Client) -> None:
    other = client_of(make_user())
    assert weigh(eater, "2026-01-02", 70).json() == {"date": "2026-01-02", "kg": 70}
    weigh(eater, "2026-01-01", 71.25)
    weigh(eater, "2026-01-02", 69.5)
    assert weights(eater, last="2026-02-01") == [("2026-01-01", 71.25), ("2026-01-02", 69.5)]
    assert weights(eater, first="2026-01-02", last="2026-01-02") == [("2026-01-02", 69.5)]
    assert weights(eater, first="2026-01-02", last="2026-01-01") == []
    assert eater.get(URL).json()["weight_kg"] == 69.5
    assert (weights(other, last="2026-02-01"), other.get(URL).json()["weight_kg"]) == ([], None)
    problem(other.delete(f"{URL}/weights/2026-01-02"), 404, "not_found")
    assert eater.delete(f"{URL}/weights/2026-01-02").status_code == 204
    problem(eater.delete(f"{URL}/weights/2026-01-02"), 404, "not_found")
    assert eater.get(URL).json()["weight_kg"] == 71.25


def test_without_a_span_the_last_year_is_told(eater: Client) -> None:
    today = today_of(make_user())
    for ago in (0, 365, 366):
        assert weigh(eater, today - timedelta(days=ago), 70).status_code == 200
    assert [day for day, _ in weights(eater)] == [
        str(today - timedelta(days=365)),
        str(today),
    ]


@pytest.mark.parametrize("kg", [19.99, 400.01, 0, -70, "70", "heavy", None, True, [], "NaN"])
def test_a_weight_that_nobody_has_is_refused(eater: Client, kg: Any) -> None:
    problem(weigh(eater, "2026-01-01", kg), 422, "invalid_request")
    assert not Weight.objects.exists()


@pytest.mark.parametrize(
    "day", ["today", "20260101", "2026-02-30", "1969-12-31", "2200-01-01", "0", "2026-1-1"]
)
def test_what_is_no_day_of_the_calendar_is_refused(eater: Client, day: str) -> None:
    problem(weigh(eater, day, 70), 422, "invalid_request")
    problem(eater.delete(f"{URL}/weights/{day}"), 422, "invalid_request")
    problem(eater.get(f"{URL}/weights", {"first": day}), 422, "invalid_request")


def test_a_day_begins_where_the_person_is(eater: Client) -> None:
    far_east = datetime.now(UTC) + timedelta(hours=14)
    change(eater, {"time_zone": "Pacific/Kiritimati"})
    assert weigh(eater, far_east.date(), 70).status_code == 200
    change(eater, {"time_zone": "Pacific/Niue"})
    problem(weigh(eater, far_east.date(), 71), 409, "day_to_come")
    assert eater.get(URL).json()["weight_kg"] is None, "that day is still to come here"


@given(
    said=st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(2000, 40000)), max_size=5),
    asked=st.integers(0, 6),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_known_is_what_was_said_last(
    db: None, said: list[tuple[int, int | None]], asked: int
) -> None:
    user = make_user()
    client = client_of(user)
    known: dict[date, Decimal] = {}
    for number, cents in said:
        day = date(2026, 1, 1) + timedelta(days=number)
        if cents is None:
            status = client.delete(f"{URL}/weights/{day}").status_code
            assert status == (204 if known.pop(day, None) is not None else 404)
        else:
            known[day] = Decimal(cents) / 100
            assert weigh(client, day, float(known[day])).status_code == 200
    assert weights(client, first="2026-01-01", last="2026-02-01") == [
        (str(day), float(kg)) for day, kg in sorted(known.items())
    ]
    day = date(2026, 1, 1) + timedelta(days=asked)
    before = [kg for when, kg in sorted(known.items()) if when <= day]
    assert weight_on(user=user, day=day) == (before[-1] if before else None)


# ---- Who wants to know


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[User, date]]:
    """Whom a registered callback was told of, and since when."""
    calls: list[tuple[User, date]] = []
    monkeypatch.setattr(services, "_to_be_told", [])
    on_profile_change(lambda user, since: calls.append((user, since)))
    return calls


def test_who_computes_from_the_body_is_told_since_when_it_is_different(
    user: User, eater: Client, told: list[tuple[User, date]]
) -> None:
    change(eater, {"sex": "male", "height_cm": 180})
    assert told == [(user, today_of(user))]
    assert (told[0][0].sex, told[0][0].height_cm) == ("male", 180)
    weigh(eater, "2026-01-01", 70)
    eater.delete(f"{URL}/weights/2026-01-01")
    assert [since for _, since in told[1:]] == [date(2026, 1, 1)] * 2


def test_nobody_is_told_of_what_matters_to_no_body(
    eater: Client, told: list[tuple[User, date]]
) -> None:
    change(eater, {"time_zone": "Asia/Tokyo", "language": "en"})
    change(eater, {"activity": "sedentary", "goal": "keep", "sex": ""})
    change(eater, {"height_cm": 1})
    weigh(eater, "2026-01-01", 1)
    eater.delete(f"{URL}/weights/2026-01-01")
    assert told == []


@pytest.mark.parametrize(
    "write",
    [
        lambda client: change(client, {"sex": "male"}),
        lambda client: weigh(client, "2026-01-01", 80),
        lambda client: client.delete(f"{URL}/weights/2026-01-01"),
    ],
)
def test_what_cannot_be_computed_is_not_said(
    eater: Client, monkeypatch: pytest.MonkeyPatch, write: Callable[[Client], Any]
) -> None:
    weigh(eater, "2026-01-01", 70)
    before = state()

    def refuse(user: User, since: date) -> None:
        assert connection.in_atomic_block
        raise RuntimeError

    monkeypatch.setattr(services, "_to_be_told", [refuse])
    problem(write(eater), 500, "internal_error")
    assert state() == before


@pytest.mark.django_db(transaction=True)
def test_changes_at_once_are_told_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is told sees every change before theirs, and so the last one told sees all."""
    user = make_user()
    days = iter(range(1, 9))
    seen: list[int] = []
    monkeypatch.setattr(
        services,
        "_to_be_told",
        [lambda user, since: seen.append(Weight.objects.filter(user=user).count())],
    )
    assert not transaction.get_connection().in_atomic_block
    answers = at_once(8, lambda: weigh(client_of(user), f"2026-01-0{next(days)}", 70))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert seen == list(range(1, 9))
