"""What must fit into what: times, connections and memory, read from the files that set them."""

import re
from typing import Any

import pytest

from apps.ai import s3
from apps.ai.circuit import PROBE
from apps.ai.photos import LOADING_SECONDS
from apps.billing.gateway import CALL_DEADLINE, LISTING_DEADLINE
from apps.billing.yookassa import CONNECT_SECONDS, READ_SECONDS
from apps.jobs.models import Job
from apps.jobs.worker import DATABASE_PATIENCE_SECONDS
from apps.operations.compose_rules import ALARM
from config.celery import VISIBILITY_TIMEOUT
from config.settings.base import DATABASES
from config.variables import BY_NAME
from tests.compose import load_compose
from tests.processes import ROOT

SERVICES: dict[str, Any] = load_compose(ROOT / "compose.yml")["services"]
WORKERS = ("celery-worker", "celery-worker-billing")
YOOKASSA_GIVES_UP_SECONDS = 30
UNITS = {"M": 1, "G": 1024}


def stop_grace(service: str) -> int:
    return int(SERVICES[service]["stop_grace_period"].removesuffix("s"))


def megabytes(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


def found(pattern: str, path: str) -> int:
    match = re.search(pattern, (ROOT / path).read_text())
    assert match, f"{pattern} in {path}"
    return int(match[1].replace("_", ""))


def test_a_job_may_end_before_it_is_killed_and_is_killed_before_another_takes_it() -> None:
    lease = Job.lease.total_seconds()
    for service in WORKERS:
        assert DATABASE_PATIENCE_SECONDS < stop_grace(service) < lease < VISIBILITY_TIMEOUT
    hard_limit = BY_NAME["CELERY_TASK_TIME_LIMIT"]
    assert hard_limit.parse("230") == 230 < lease
    with pytest.raises(ValueError, match="230"):
        hard_limit.parse("231")


def test_a_job_with_money_may_look_up_and_call_before_it_is_killed() -> None:
    outside = CALL_DEADLINE + LISTING_DEADLINE
    # Claiming before and writing down after may each wait for a restarting PostgreSQL, but not
    # both for long: the job would then be found again by its lease.
    for service in WORKERS:
        assert outside.total_seconds() + DATABASE_PATIENCE_SECONDS < stop_grace(service)
    assert CALL_DEADLINE.total_seconds() > CONNECT_SECONDS + READ_SECONDS
    assert READ_SECONDS > YOOKASSA_GIVES_UP_SECONDS


def test_a_recognition_ends_before_its_worker_is_killed() -> None:
    """Its longest call, and PostgreSQL away at the claim, at the call's record and at the end."""
    longest = 55
    limit = BY_NAME["AI_TIMEOUT_SECONDS"]
    assert limit.parse(str(longest)) == longest
    with pytest.raises(ValueError, match=str(longest)):
        limit.parse(str(longest + 1))
    assert longest + 3 * DATABASE_PATIENCE_SECONDS < stop_grace("celery-worker")
    # Or its photos come slowly, the last of them with every try.
    photos = LOADING_SECONDS + s3.ATTEMPTS * (s3.CONNECT_SECONDS + s3.READ_SECONDS)
    assert photos + longest + DATABASE_PATIENCE_SECONDS < stop_grace("celery-worker")
    assert longest < PROBE.total_seconds(), "a probe has the circuit to itself"


def test_a_request_ends_from_the_inside_out() -> None:
    statement = found(r"statement_timeout=(\d+)s", "backend/config/settings/base.py")
    graceful = found(r"graceful_timeout = (\d+)", "gunicorn_config.py")
    proxy = found(r"proxy_read_timeout (\d+)s", "deploy/nginx/nginx.conf")
    assert statement < graceful < proxy < stop_grace("backend")
    assert graceful < stop_grace("frontend")


def test_connections_fit_even_while_a_deploy_doubles_them() -> None:
    most_workers = found(r"MOST_WORKERS = (\d+)", "gunicorn_config.py")
    health_threads = 3
    pool = {
        name: int(service["environment"]["POSTGRES_POOL_SIZE"])
        for name, service in SERVICES.items()
        if "POSTGRES_POOL_SIZE" in service.get("environment", {})
    }
    assert set(pool) == {"backend", *WORKERS, "celery-beat"}
    one_stack = sum(pool.values()) + pool["backend"] * (most_workers - 1)
    one_stack += health_threads * most_workers
    role = found(r"eatfit24_a LOGIN CONNECTION LIMIT (\d+)", "deploy/postgres/roles.sql")
    command = " ".join(SERVICES["db"]["command"])
    (server,) = re.findall(r"max_connections=(\d+)", command)
    # One stack beside another, a migration and an operator's shell; three are for superusers.
    assert 2 * one_stack + 5 <= role <= int(server) - 3


def test_threads_find_a_connection() -> None:
    threads = int(BY_NAME["GUNICORN_THREADS"].default)
    jobs = int(BY_NAME["CELERY_WORKER_CONCURRENCY"].default)
    environment = {name: SERVICES[name]["environment"] for name in SERVICES if "back" in name}
    assert int(environment["backend"]["POSTGRES_POOL_SIZE"]) >= threads
    assert int(SERVICES["celery-worker"]["environment"]["POSTGRES_POOL_SIZE"]) >= jobs
    lane = SERVICES["celery-worker-billing"]["environment"]
    assert int(lane["POSTGRES_POOL_SIZE"]) >= int(lane["CELERY_WORKER_CONCURRENCY"])
    assert DATABASES["default"]["CONN_MAX_AGE"] == 0, "the pool needs it so"


@pytest.mark.parametrize(
    ("service", "limit", "alarm"),
    [
        ("backend", 1536, 700),
        ("celery-worker", 1024, 800),
        ("celery-worker-billing", 1024, 800),
        ("celery-beat", 512, 400),
    ],
)
def test_memory_limits_leave_room_above_the_alarms(service: str, limit: int, alarm: int) -> None:
    assert megabytes(SERVICES[service]["deploy"]["resources"]["limits"]["memory"]) == limit > alarm
    assert int(SERVICES[service]["labels"][ALARM]) == alarm
    if service in WORKERS:
        assert int(SERVICES[service]["environment"]["MEMORY_ALARM_MB"]) == alarm


def test_what_gunicorn_may_start_fits_into_the_container() -> None:
    master = found(r"MASTER_BYTES, WORKER_BYTES = (\d+)", "gunicorn_config.py")
    worker = found(r"MASTER_BYTES, WORKER_BYTES = \d+ \* 1024\*\*2, (\d+)", "gunicorn_config.py")
    most = found(r"MOST_WORKERS = (\d+)", "gunicorn_config.py")
    limit = megabytes(SERVICES["backend"]["deploy"]["resources"]["limits"]["memory"])
    assert master + most * worker <= limit
