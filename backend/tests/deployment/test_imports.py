"""What a process does not load at its start, it does not hold in memory for months."""

import re
from collections.abc import Callable

import pytest

from sandbox.embedded import free_port
from tests.deployment.conftest import Start
from tests.processes import Process, wait_for

# As Python itself tells it.
LOADED = re.compile(r"^import '(\S+)' #", re.MULTILINE)

FIRST = "import 'site' #"

HTTP_API = {"config.urls", "ninja", "pydantic", "whitenoise", "django.test"}
DATABASE = {"psycopg", "django.db.models", "apps.jobs.models"}


@pytest.fixture
def loaded(enter: Start, migrated_database: str) -> Callable[[str], set[str]]:
    """Every module that a Celery process has loaded by the time that its loop turns."""

    def modules(role: str) -> set[str]:
        process: Process = enter(
            *("celery", "-A", "config", role),
            POSTGRES_DB=migrated_database,
            PYTHONVERBOSE="1",
        )
        wait_for(lambda: (process.runtime / "heartbeat").exists(), "the loop turns")
        # What prepared it were processes of their own.
        return set(LOADED.findall(process.output().rpartition(FIRST)[2]))

    return modules


def test_beat_knows_no_task_and_no_table(loaded: Callable[[str], set[str]]) -> None:
    modules = loaded("beat")
    ours = {name for name in modules if name.startswith("apps.")}
    assert ours == {"apps.jobs", "apps.jobs.beat", "apps.jobs.heartbeat"}
    assert not modules & (DATABASE | HTTP_API)


def test_a_worker_does_not_load_the_http_api(loaded: Callable[[str], set[str]]) -> None:
    modules = loaded("worker")
    assert modules >= {"apps.ai.tasks", "apps.jobs.tasks", *DATABASE}
    assert not modules & HTTP_API
    assert not {name for name in modules if re.fullmatch(r"apps\.\w+\.api", name)}


def test_gunicorn_loads_the_http_api_once_for_all_its_workers(
    enter: Start, migrated_database: str
) -> None:
    process = enter(
        *("gunicorn", "config.wsgi:application"),
        POSTGRES_DB=migrated_database,
        GUNICORN_BIND=f"127.0.0.1:{free_port()}",
        PYTHONVERBOSE="1",
    )
    booting = "Booting worker"
    wait_for(lambda: process.output().count(booting) == 2, "its workers start")
    before_the_fork = process.output().rpartition(FIRST)[2].partition(booting)[0]
    assert set(LOADED.findall(before_the_fork)) >= HTTP_API - {"django.test"}
