"""Time is one: what disagrees is named. That a start stops for it is in deployment/test_startup."""

from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from apps.operations.clocks import database_problems, settings_problems, time_problems
from apps.operations.schema import open_connection
from config.celery import app as celery

NOON = 1_800_000_000.0


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "GMT"])
@pytest.mark.parametrize("apart", [-4.9, 0.0, 4.9])
def test_what_agrees(zone: str, apart: float) -> None:
    times = {"asked": NOON, "answered": NOON + 0.01, "database": NOON + apart}
    assert database_problems(**times, database_zone=zone) == []


def test_a_slow_answer_is_no_difference() -> None:
    times = {"asked": NOON, "answered": NOON + 30, "database": NOON + 29}
    assert database_problems(**times, database_zone="UTC") == []


@pytest.mark.parametrize("apart", [-3600.0, -6.0, 6.0, 3600.0])
def test_a_clock_that_is_off(apart: float) -> None:
    times = {"asked": NOON, "answered": NOON, "database": NOON + apart}
    (problem,) = database_problems(**times, database_zone="UTC")
    assert f"clock is {abs(apart):.0f} s apart" in problem


@pytest.mark.parametrize("zone", ["Europe/Moscow", "Etc/GMT+3", "localtime"])
def test_a_database_that_is_elsewhere(zone: str) -> None:
    times = {"asked": NOON, "answered": NOON, "database": NOON}
    (problem,) = database_problems(**times, database_zone=zone)
    assert f"time zone is {zone}: takes UTC" in problem


def test_ours_agree() -> None:
    with open_connection() as connection:
        assert time_problems(connection) == []


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("USE_TZ", False, "USE_TZ is False"),
        ("TIME_ZONE", "Asia/Tokyo", "TIME_ZONE is Asia/Tokyo: calendars take Europe/Moscow"),
    ],
)
def test_settings_that_are_wrong_fail_djangos_checks(
    settings: Any, name: str, value: Any, says: str
) -> None:
    call_command("check")
    setattr(settings, name, value)
    with pytest.raises(SystemCheckError, match=says):
        call_command("check")


@pytest.mark.parametrize(("name", "value"), [("enable_utc", False), ("timezone", "Europe/Moscow")])
def test_celery_keeps_utc(name: str, value: Any) -> None:
    sound = celery.conf[name]
    celery.conf[name] = value
    try:
        (problem,) = settings_problems()
    finally:
        celery.conf[name] = sound
    assert f"{name}={value}" in problem
    assert settings_problems() == []
