"""Worker and beat are alive while their loop turns; a loop that stands still is ended."""

import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.embedded import Redis
from tests.deployment.conftest import Start, check_health
from tests.processes import ROOT, Process, wait_for

StartRole = Callable[[str], Process]


@pytest.fixture
def start_role(enter: Start, migrated_database: str) -> StartRole:
    """Start a worker or beat through the entrypoint; returns at once."""

    def start(role: str) -> Process:
        return enter(
            *("celery", "-A", "config", role),
            POSTGRES_DB=migrated_database,
            CELERY_WORKER_CONCURRENCY="2" if role == "worker" else "",
        )

    return start


def beats(process: Process) -> bool:
    if process.popen.poll() is not None:
        pytest.fail(process.output())
    return (process.runtime / "heartbeat").exists()


def test_they_are_healthy_while_they_turn_and_ended_when_they_do_not(
    start_role: StartRole,
) -> None:
    processes = [start_role("worker"), start_role("beat")]
    with ThreadPoolExecutor() as pool:  # a failing check takes 3 s

        def check() -> list[tuple[int, str]]:
            return list(pool.map(check_health, processes, ["heartbeat"] * 2))

        def send(number: signal.Signals) -> None:
            for process in processes:
                process.send(number)

        for process in processes:
            wait_for(lambda process=process: beats(process), "the loop turns")
        for _ in range(3):
            assert check() == [(0, "")] * 2, "each check waits for another beat"

        send(signal.SIGSTOP)
        for process in processes:  # a last beat may be there
            (process.runtime / "heartbeat").touch()
        assert check() == [(0, "")] * 2
        assert check() == [(1, "failure 1 of 6 in a row")] * 2

        send(signal.SIGCONT)
        assert check() == [(0, "")] * 2
        for process in processes:
            assert not (process.runtime / "failures").exists(), "a success forgets the failures"
            assert process.popen.poll() is None

        send(signal.SIGSTOP)
        for process in processes:
            (process.runtime / "heartbeat").unlink(missing_ok=True)
            (process.runtime / "failures").write_text("5\n")
        assert check() == [(1, "failure 6 of 6 in a row\nending the main process")] * 2
        for process in processes:
            assert process.popen.wait(5) == -signal.SIGKILL


def test_what_was_never_healthy_is_only_starting(
    enter: Start, empty_database: str, redis_server: Redis
) -> None:
    """A worker that waits for its schema is not ended, however often it is asked."""
    worker = enter("celery", "-A", "config", "worker", POSTGRES_DB=empty_database)
    wait_for(lambda: "migrations are not applied" in worker.output(), "it waits")
    (worker.runtime / "failures").write_text("6\n")
    assert check_health(worker, "heartbeat") == (1, "starting")
    assert worker.popen.poll() is None
    assert not (worker.runtime / "failures").exists()


def test_a_redis_that_is_away_ends_nobody(start_role: StartRole, redis_server: Redis) -> None:
    """A heartbeat may miss beats while Redis is away, but the loop is back when Redis is."""
    worker = start_role("worker")
    wait_for(lambda: beats(worker), "it consumes")
    assert check_health(worker, "heartbeat") == (0, "")
    redis_server.stop()
    try:
        wait_for(lambda: "onnection" in worker.output(), "it notices")
        (worker.runtime / "heartbeat").unlink(missing_ok=True)
        (worker.runtime / "failures").write_text("5\n")
        assert check_health(worker, "heartbeat") == (1, "Redis is away")
        assert not (worker.runtime / "failures").exists(), "it does not count"
    finally:
        redis_server.start()
    wait_for(lambda: check_health(worker, "heartbeat")[0] == 0, "healthy again", seconds=40)
    assert worker.popen.poll() is None


def test_without_a_role_it_says_how() -> None:
    done = subprocess.run(
        [str(ROOT / "healthcheck.sh")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 64
    assert "healthcheck.sh heartbeat" in done.stdout
