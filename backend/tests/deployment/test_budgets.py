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


def found(pattern: str, path: str) -> float:
    match = re.search(pattern, (ROOT / path).read_text())
    assert match, f"{pattern} in {path}"
    return float(match[1].replace("_", ""))


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


CONTAINER, IN_FRONT = "deploy/nginx/nginx.conf", "deploy/host/nginx.conf"
# In the order of docs/RUNTIME.md: what sets it, and how it stands there.
REQUEST = (
    ("backend/apps/billing/checkout.py", r"PATIENCE_SECONDS = ([\d.]+)"),
    ("backend/config/settings/base.py", r"statement_timeout=(\d+)s"),
    ("backend/apps/ai/uploads.py", r"PATIENCE_SECONDS = ([\d.]+)"),
    ("gunicorn_config.py", r"graceful_timeout = (\d+)"),
    (CONTAINER, r"proxy_read_timeout (\d+)s"),
    (IN_FRONT, r"proxy_read_timeout (\d+)s"),
    ("backend/apps/webapp/static/webapp/app.js", r"REQUEST_DEADLINE_MS = ([\d_]+)000;"),
)


def rows(heading: str) -> list[list[str]]:
    """The lines of the tables below a heading of docs/RUNTIME.md, without their heads."""
    text = (ROOT / "docs/RUNTIME.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if re.fullmatch(r"[\d.]+", cells[1])]


def test_a_request_ends_from_the_inside_out() -> None:
    shown = [(cells[2].strip("`"), float(cells[1])) for cells in rows("Time-outs of a request")[:8]]
    files = [path for path, _ in REQUEST]
    times = [found(pattern, path) for path, pattern in REQUEST]
    assert shown == [
        *zip(files, times, strict=True),
        ("compose.yml", float(stop_grace("backend"))),
    ]
    provider, statement, upload, graceful, container, in_front, page = times
    assert max(provider, statement, upload) < graceful < container < min(in_front, page)
    assert container < stop_grace("backend")
    assert graceful < stop_grace("frontend")


def test_nginx_of_the_host_waits_no_shorter_than_the_containers() -> None:
    shown = rows("Time-outs of a request")[8:]
    assert len(shown) == 7
    for name, *seconds in shown:
        (directive,) = re.findall(r"`(\w+)`", name)
        pattern = rf"{directive} (\d+)s"
        assert [float(text) for text in seconds] == [
            found(pattern, f) for f in (CONTAINER, IN_FRONT)
        ]
        assert float(seconds[0]) <= float(seconds[1])
    uploads = max(
        int(size)
        for size in re.findall(
            r"client_max_body_size (\d+)k", (ROOT / "deploy/nginx/backend.conf").read_text()
        )
    )
    assert uploads <= found(r"client_max_body_size (\d+)m", IN_FRONT) * 1024


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
