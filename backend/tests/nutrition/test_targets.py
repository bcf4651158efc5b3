"""What is to be eaten a day: computed from a body, or said; and the past keeps its own."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import Activity, Goal, Sex, User
from apps.accounts.services import today_of
from apps.nutrition.formulas import (
    ACTIVITY,
    GOAL,
    MAX_ENERGY,
    MIN_ENERGY,
    PROTEIN,
    Body,
    compute_targets,
    resting_energy,
)
from apps.nutrition.models import Targets
from tests.http import at_once, client_of, make_user, problem
from tests.nutrition.eating import BODY, PIE, day_of, ok, say_weight, send, write_meal

pytestmark = pytest.mark.django_db

SMALL = {"sex": "female", "age": 80, "weight_kg": Decimal(45), "height_cm": Decimal(150)}
BIG = {"weight_kg": Decimal(150)}
HAND = {"energy_kcal": 2000, "protein_g": 120, "fat_g": 65, "carbohydrate_g": 235}


def body(**fields: Any) -> Body:
    usual = {"sex": "male", "age": 30, "activity": "sedentary", "goal": "keep"}
    usual |= {"height_cm": Decimal(180), "weight_kg": Decimal(80)} | fields
    return Body(**usual)


def shown(client: Client, day: date | None = None) -> Any:
    return ok(client, "get", f"targets?date={day}" if day else "targets")


def energy(client: Client, day: date | None = None) -> float | None:
    targets = shown(client, day)["targets"]
    return targets["energy_kcal"] if targets else None


def with_body(client: Client, **fields: Any) -> None:
    ok(client, "patch", "profile", BODY | fields)


def go_back(user: User, days: int) -> None:
    """As if what there is had been written so many days before."""
    for targets in Targets.objects.filter(user=user).order_by("from_date"):
        targets.from_date -= timedelta(days=days)
        targets.save()


# ---- Formulas


@pytest.mark.parametrize(
    ("fields", "kcal"),
    [
        # Worked by hand from the paper's two equations.
        ({}, "1780"),
        ({"sex": "female"}, "1614"),
        (
            {"sex": "female", "age": 36, "height_cm": Decimal(168), "weight_kg": Decimal("64.5")},
            "1354",
        ),
        ({"weight_kg": Decimal(100), "age": 50}, "1880"),
    ],
)
def test_resting_energy_is_mifflins(fields: dict[str, Any], kcal: str) -> None:
    assert resting_energy(body(**fields)) == Decimal(kcal)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (2136, 112, 71, 262)),
        ({"goal": "lose"}, (1709, 144, 64, 139)),
        ({"goal": "gain", "activity": "moderate"}, (3035, 128, 101, 404)),
        # At a BMI of 61.7 protein and fat are those of a BMI of 30.
        ({"weight_kg": Decimal(200)}, (3576, 136, 119, 490)),
        # Floors and ceilings.
        (SMALL | {"goal": "lose"}, (1200, 81, 40, 129)),
        (BIG | {"activity": "very_active", "goal": "gain"}, (5000, 156, 167, 718)),
    ],
)
def test_targets_are_as_worked_by_hand(
    fields: dict[str, Any], expected: tuple[int, int, int, int]
) -> None:
    assert tuple(map(int, compute_targets(body(**fields)).values())) == expected


@pytest.mark.parametrize(
    "fields",
    [{"age": 17}, {"weight_kg": Decimal(59)}],
    ids=["a child", "underweight"],
)
def test_who_should_not_lose_is_not_told_to(fields: dict[str, Any]) -> None:
    assert compute_targets(body(**fields, goal="lose")) == compute_targets(body(**fields))


def test_every_answer_of_the_profile_has_its_factor() -> None:
    assert set(ACTIVITY) == set(Activity)
    assert set(GOAL) == set(PROTEIN) == set(Goal)
    assert set(MIN_ENERGY) == set(Sex)


bodies = st.builds(
    Body,
    sex=st.sampled_from(sorted(MIN_ENERGY)),
    age=st.integers(10, 120),
    height_cm=st.decimals(100, 250, places=1),
    weight_kg=st.decimals(20, 400, places=2),
    activity=st.sampled_from(sorted(ACTIVITY)),
    goal=st.sampled_from(sorted(GOAL)),
)


@given(body=bodies)
def test_targets_are_sane_for_anybody(body: Body) -> None:
    targets = compute_targets(body)
    kcal, protein, fat, carbohydrate = targets.values()
    assert MIN_ENERGY[body.sex] <= kcal <= MAX_ENERGY
    assert abs(kcal - (4 * protein + 9 * fat + 4 * carbohydrate)) <= 2
    # A gram of rounding may lead out of the ranges by that much.
    assert 4 * protein <= Decimal("0.35") * kcal + 4
    assert Decimal("0.30") * kcal - 9 <= 9 * fat <= Decimal("0.35") * kcal + 9
    assert 4 * carbohydrate >= Decimal("0.30") * kcal - 15


@given(body=bodies)
def test_whoever_does_more_is_given_no_less(body: Body) -> None:
    energies = [
        compute_targets(Body(**{**vars(body), "activity": activity}))["energy_kcal"]
        for activity in Activity
    ]
    assert energies == sorted(energies)
    goals = [compute_targets(Body(**{**vars(body), "goal": goal}))["energy_kcal"] for goal in Goal]
    assert goals == sorted(goals)


# ---- History


def test_a_profile_that_says_too_little_is_told_what_is_missing(user: User, eater: Client) -> None:
    today = today_of(user)
    empty = {"date": str(today), "targets": None}
    all_of_it = ["sex", "birth_year", "height_cm", "weight_kg"]
    assert shown(eater) == {**empty, "missing": all_of_it}
    with_body(eater)
    assert shown(eater) == {**empty, "missing": ["weight_kg"]}
    day = day_of(eater, str(today))
    assert (day["targets"], day["left"], day["missing"]) == (None, None, ["weight_kg"])
    say_weight(eater, str(today), 64.5)
    assert shown(eater)["missing"] == []
    assert energy(eater) == day_of(eater, str(today))["targets"]["energy_kcal"] > 1200
    ok(eater, "patch", "profile", {"height_cm": None})
    assert shown(eater) == {**empty, "missing": ["height_cm"]}


def test_a_changed_weight_makes_targets_from_its_day_on_and_the_past_keeps_its_own(
    user: User, eater: Client
) -> None:
    today = today_of(user)
    with_body(eater)
    say_weight(eater, str(today), 64.5)
    go_back(user, 10)
    before = energy(eater)
    assert energy(eater, today - timedelta(days=10)) == before
    assert energy(eater, today - timedelta(days=11)) is None
    say_weight(eater, str(today), 84.5)
    assert energy(eater, today - timedelta(days=1)) == before
    assert energy(eater) == energy(eater, today + timedelta(days=400))
    assert energy(eater) == float(round(before + 200 * 1.2))
    # A weight of a past day that was never today's changes nothing that was.
    say_weight(eater, str(today - timedelta(days=5)), 50)
    assert energy(eater, today - timedelta(days=5)) == before
    ok(eater, "delete", f"profile/weights/{today}")
    assert energy(eater) < before
    assert Targets.objects.filter(user=user).count() == 2


def test_targets_are_set_by_hand_and_computed_again(user: User, eater: Client) -> None:
    today = today_of(user)
    with_body(eater)
    say_weight(eater, str(today), 64.5)
    computed = shown(eater)
    go_back(user, 3)
    by_hand = ok(eater, "put", "targets", HAND)
    assert by_hand == shown(eater)
    assert by_hand["targets"] == {**HAND, "from_date": str(today), "by_hand": True}
    go_back(user, 2)
    # Neither a weight nor a profile touches what was said by hand.
    say_weight(eater, str(today), 80)
    ok(eater, "patch", "profile", {"goal": "gain"})
    assert energy(eater) == 2000
    ok(eater, "patch", "profile", {"goal": "keep"})
    say_weight(eater, str(today), 64.5)
    again = ok(eater, "delete", "targets")
    assert again == computed
    assert energy(eater, today - timedelta(days=1)) == 2000
    assert energy(eater, today - timedelta(days=4)) == computed["targets"]["energy_kcal"]
    say_weight(eater, str(today), 80)
    assert energy(eater) > computed["targets"]["energy_kcal"]


def test_by_hand_needs_no_profile(eater: Client) -> None:
    assert ok(eater, "put", "targets", HAND)["targets"]["energy_kcal"] == 2000
    cleared = ok(eater, "delete", "targets")
    assert (cleared["targets"], len(cleared["missing"])) == (None, 4)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("energy_kcal", 499), ("energy_kcal", 10_001), ("energy_kcal", None)),
        *(("protein_g", -1), ("fat_g", 1001), ("carbohydrate_g", "NaN"), ("more", 1)),
    ],
)
def test_targets_by_hand_are_within_reason(
    user: User, eater: Client, field: str, value: Any
) -> None:
    answer = problem(send(eater, "put", "targets", {**HAND, field: value}), 422, "invalid_request")
    assert [error["field"].split(".")[-1] for error in answer["errors"]] == [field]
    assert not user.targets.exists()


@pytest.mark.parametrize("day", ["today", "", "2026-02-30", "1969-12-31", "1700000000"])
def test_what_is_no_date_has_no_targets(eater: Client, day: str) -> None:
    problem(send(eater, "get", f"targets?date={day}"), 422, "invalid_request")


def test_what_is_left_is_targets_less_totals(eater: Client) -> None:
    ok(eater, "put", "targets", {**HAND, "fat_g": 10})
    meal = ok(eater, "post", "diary/meals", {"items": [PIE]})
    day = day_of(eater, meal["date"])
    assert day["targets"]["energy_kcal"] == 2000
    assert day["left"] == {
        "energy_kcal": 1680.0,
        "protein_g": 114.0,
        "fat_g": -2.0,
        "carbohydrate_g": 189.0,
    }
    past = write_meal(eater, at="2020-01-01T12:00Z")
    assert day_of(eater, past["date"])["left"] is None


def test_who_flew_west_into_yesterday_has_what_they_said_last(user: User) -> None:
    """Kiritimati is a day ahead of Honolulu at any moment."""
    user.time_zone = "Pacific/Kiritimati"
    user.save()
    client = client_of(user)
    ok(client, "put", "targets", HAND)
    ok(client, "patch", "profile", {"time_zone": "Pacific/Honolulu"})
    user.refresh_from_db()
    assert energy(client) is None
    ok(client, "put", "targets", {**HAND, "energy_kcal": 1500})
    for days in (0, 1, 2):
        assert energy(client, today_of(user) + timedelta(days=days)) == 1500


@pytest.mark.django_db(transaction=True)
def test_said_from_many_at_once_there_is_one_word_a_day() -> None:
    user = make_user()
    with_body(client_of(user))
    today = datetime.now(UTC).date()

    def say(number: int) -> Any:
        client = client_of(user)
        if number % 2:
            return send(client, "put", "targets", {**HAND, "energy_kcal": 1000 + number})
        return send(client, "put", f"profile/weights/{today}", {"kg": 60 + number})

    numbers = iter(range(8))
    answers = at_once(8, lambda: say(next(numbers)))
    assert {answer.status_code for answer in answers} == {200}
    targets = Targets.objects.get(user=user)
    assert targets.by_hand
