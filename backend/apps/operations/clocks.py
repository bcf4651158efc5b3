"""Time is UTC and aware wherever it is kept or counted; Moscow's is for display and calendars."""

import time
from typing import Any, LiteralString

import psycopg
from django.conf import settings
from django.core.checks import Error, register

from config.celery import app as celery

MOST_SECONDS_APART = 5.0
"""Below what a token's or a lease's end may be off by without harm."""

UTC_NAMES = frozenset({"UTC", "Etc/UTC", "Etc/UCT", "UCT", "Zulu", "GMT", "Etc/GMT"})

_ASK: LiteralString = "SELECT extract(epoch FROM clock_timestamp()), current_setting('TimeZone')"


@register()
def check_settings(**_: Any) -> list[Error]:
    """For `manage.py check`: what the code itself says of time."""
    return [Error(problem, id="operations.E001") for problem in settings_problems()]


def settings_problems() -> list[str]:
    problems = []
    if not settings.USE_TZ:
        problems.append("USE_TZ is False: Django would keep times without a zone")
    if settings.TIME_ZONE != "Europe/Moscow":
        problems.append(f"TIME_ZONE is {settings.TIME_ZONE}: calendars take Europe/Moscow")
    if zone := settings.DATABASES["default"].get("TIME_ZONE"):
        problems.append(f"the database's TIME_ZONE is {zone}: Django would not keep UTC")
    if not celery.conf.enable_utc or celery.conf.timezone != "UTC":
        problems.append(
            f"Celery has enable_utc={celery.conf.enable_utc}, timezone={celery.conf.timezone}: "
            "it takes True and UTC"
        )
    return problems


def database_problems(
    *, asked: float, answered: float, database: float, database_zone: str
) -> list[str]:
    """How PostgreSQL's time differs; seconds since the epoch, before and after it was asked."""
    problems = []
    if database_zone not in UTC_NAMES:
        problems.append(
            f"PostgreSQL's time zone is {database_zone}: takes UTC; look for "
            "ALTER DATABASE or ALTER ROLE … SET timezone, and RESET it"
        )
    apart = max(asked - database, database - answered)
    if apart > MOST_SECONDS_APART:
        problems.append(
            f"PostgreSQL's clock is {apart:.0f} s apart from this container's, at most "
            f"{MOST_SECONDS_APART:g}: is the time synchronized on both machines?"
        )
    return problems


def time_problems(connection: "psycopg.Connection[Any]") -> list[str]:
    """Where this process, PostgreSQL, Django and Celery disagree about time."""
    asked = time.time()
    row = connection.execute(_ASK).fetchone()
    answered = time.time()
    assert row is not None
    return settings_problems() + database_problems(
        asked=asked, answered=answered, database=float(row[0]), database_zone=row[1]
    )
