"""What a process waits for, and prepares, before it becomes Gunicorn or Celery."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from apps.billing.plans import ensure_catalogue
from apps.nutrition.foods import load_foods
from apps.operations.clocks import time_problems
from apps.operations.packages import installed_problems
from apps.operations.schema import missing_migrations, open_connection
from config.variables import PRODUCTION

logger = logging.getLogger(__name__)

MIGRATION_LOCK = 0x45463234  # "EF24"
LONGEST_PAUSE = 5.0


class GaveUp(Exception):
    """What was waited for did not come in time."""


class Refused(Exception):
    """Something is wrong that no waiting mends."""


def wait_until(what: str, problem: Callable[[], str], *, seconds: float) -> None:
    """Call `problem` with growing pauses until it returns an empty string.

    Raises GaveUp, with the last problem, after `seconds`.
    """
    deadline = time.monotonic() + seconds
    pause = 0.1
    while reason := problem():
        if time.monotonic() + pause > deadline:
            raise GaveUp(f"gave up waiting for {what} after {seconds:g} s: {reason}")
        logger.info("waiting", extra={"what": what, "why": reason})
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def database_problem() -> str:
    """Why the database cannot be used; empty where it can."""
    try:
        with open_connection() as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return _one_line(error)
    return ""


def schema_problem() -> str:
    """Which of this code's migrations the database lacks; empty where none."""
    try:
        with open_connection() as connection:
            missing = missing_migrations(connection)
    except psycopg.Error as error:
        return _one_line(error)
    if not missing:
        return ""
    named = ", ".join(".".join(migration) for migration in sorted(missing)[:3])
    return f"{len(missing)} migrations are not applied ({named} …)"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


@contextmanager
def migration_lock(*, seconds: float) -> Iterator[None]:
    """Let one process of all migrate at a time.

    Polled in autocommit: a session blocked in pg_advisory_lock holds a snapshot, for which
    CREATE INDEX CONCURRENTLY would wait, and both would wait for ever.
    """
    with open_connection() as connection:

        def problem() -> str:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", [MIGRATION_LOCK]).fetchone()
            return "" if row == (True,) else "another process is migrating"

        wait_until("the migration lock", problem, seconds=seconds)
        yield


@contextmanager
def as_owner(alias: str) -> Iterator[None]:
    """Have this process's connection act as the owner of the tables, with migration time-outs."""
    connection = connections[alias]
    usual = connection.settings_dict["OPTIONS"]
    connection.close()
    timeouts = " ".join(f"-c {name}={value}" for name, value in settings.MIGRATION_TIMEOUTS.items())
    connection.settings_dict["OPTIONS"] = {
        **{name: value for name, value in usual.items() if name != "pool"},
        "options": f"-c role={settings.DATABASE_OWNER} {timeouts}",
    }
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["OPTIONS"] = usual


def require_the_locked_packages() -> None:
    """Raise Refused unless what is installed in the image is what its lock says."""
    if settings.SETTINGS_MODULE == PRODUCTION and (
        problems := installed_problems(settings.BASE_DIR)
    ):
        raise Refused(f"what is installed is not what uv.lock says: {'; '.join(problems[:5])}")


def require_one_time() -> None:
    """Raise Refused unless this process, PostgreSQL, Django and Celery agree about time."""
    with open_connection() as connection:
        if problems := time_problems(connection):
            raise Refused("; ".join(problems))


def prepare_web(*, migrate: bool, strict: bool, collect_static: bool, seconds: float) -> None:
    """Before Gunicorn: the database answers; migrations, foods and static files as asked for."""
    require_the_locked_packages()
    wait_until("the database", database_problem, seconds=seconds)
    require_one_time()
    if migrate:
        try:
            call_command("migrate", interactive=False, verbosity=1)
            ensure_catalogue()
            loaded = load_foods()
            logger.info("food table", extra={"changed": loaded.changed})
        except Exception:
            if strict:
                raise
            logger.exception("migration failed, going on because MIGRATIONS_STRICT=0")
    if collect_static:
        call_command("collectstatic", interactive=False, verbosity=0)


def prepare_celery(*, seconds: float) -> None:
    """Before Celery: the schema has every migration this code knows. Never migrates."""
    require_the_locked_packages()
    wait_until("the schema", schema_problem, seconds=seconds)
    require_one_time()
