"""Whatever happens to workers, beat, Redis and PostgreSQL: every job is done, once in effect.

Effects are counted in the sandbox's own log by idempotency key, not by the rows' status.
"""

import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis
from django.db import connection, transaction

from apps.jobs.models import Job
from apps.jobs.services import submit_job
from config.celery import QUEUES
from sandbox.embedded import Postgres, Redis
from tests.errands.models import Errand
from tests.processes import Process, Spawn, StartWorker, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rounds(long: bool) -> int:
    return 10 if long else 3


@pytest.fixture
def away_seconds(long: bool) -> int:
    return 30 if long else 7


def submit(number: int, **fields: Any) -> None:
    with transaction.atomic():
        for index in range(number):
            submit_job(job=Errand(queue=QUEUES[index % len(QUEUES)], **fields))


def unfinished() -> int:
    return Errand.objects.exclude(status=Job.Status.DONE).count()


def assert_each_happened_once(sandbox: str, *, asked_once: bool = False) -> None:
    """Once by key, for the outside knows its keys; `asked_once`: nor was it asked again."""
    effects = httpx.get(f"{sandbox}/_effects", timeout=10).json()["effects"]
    assert {effect["key"] for effect in effects} == {
        str(pk) for pk in Errand.objects.values_list("pk", flat=True)
    }
    assert not Errand.objects.filter(result="").exists()
    if asked_once:
        assert {effect["times"] for effect in effects} == {1}


class Keeper:
    """Restart policy: starts a process again when it has ended, as Docker would."""

    def __init__(self, start: Callable[[], Process]) -> None:
        self._start = start
        self.process = start()
        self.starts = 1

    def look(self) -> None:
        if self.process.popen.poll() is not None:
            self.process = self._start()
            self.starts += 1


@pytest.mark.parametrize("point", list(Errand.Point))
def test_a_worker_killed_at_a_named_point(
    point: Errand.Point, start_worker: StartWorker, start_beat: Any, sandbox: str
) -> None:
    start_beat()
    keeper = Keeper(lambda: start_worker(wait=False))
    submit(1, kill_at=point, kills=1)
    submit(5)

    def all_done() -> bool:
        keeper.look()
        return unfinished() == 0

    wait_for(all_done, "all done", seconds=60)
    wait_for(lambda: keeper.look() or keeper.starts == 2, "the worker died once")
    assert_each_happened_once(sandbox)


def test_a_redis_that_restarts_or_forgets(
    start_worker: StartWorker, start_beat: Any, sandbox: str, redis_server: Redis, rounds: int
) -> None:
    beat, worker = start_beat(), start_worker()
    for _ in range(rounds):
        submit(12, hold=0.2)
        redis_server.stop()
        redis_server.start()
        submit(12, hold=0.2)
        redis.Redis(port=redis_server.port).flushall()
        wait_for(lambda: unfinished() == 0, "all done", seconds=60)
    assert_each_happened_once(sandbox, asked_once=True)
    assert (worker.popen.poll(), beat.popen.poll()) == (None, None), "nobody was restarted"


def test_a_redis_that_is_frozen_or_away(
    start_worker: StartWorker, start_beat: Any, sandbox: str, redis_server: Redis, away_seconds: int
) -> None:
    beat, worker = start_beat(), start_worker()
    submit(12, hold=0.5)
    redis_server.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    submit(6)
    assert time.monotonic() - started < 10, "who submits does not wait for Redis"
    wait_seconds(away_seconds)
    redis_server.process.send_signal(signal.SIGCONT)
    wait_for(lambda: unfinished() == 0, "all done after the frost", seconds=90)

    redis_server.stop()
    submit(6)
    wait_seconds(away_seconds)
    redis_server.start()
    wait_for(lambda: unfinished() == 0, "all done after the absence", seconds=90)
    assert_each_happened_once(sandbox, asked_once=True)
    assert (worker.popen.poll(), beat.popen.poll()) == (None, None), "nobody was restarted"


def test_a_postgres_that_restarts(
    start_worker: StartWorker, start_beat: Any, sandbox: str, postgres_server: Postgres, rounds: int
) -> None:
    start_beat()
    worker = start_worker()
    for _ in range(rounds):
        submit(12, hold=0.5)
        connection.close()
        postgres_server.restart()
        submit(6)
        wait_for(lambda: unfinished() == 0, "all done", seconds=60)
    assert_each_happened_once(sandbox, asked_once=True)
    assert worker.popen.poll() is None


def test_everything_stops_and_starts(
    start_worker: StartWorker,
    start_beat: Any,
    sandbox: str,
    redis_server: Redis,
    postgres_server: Postgres,
    rounds: int,
) -> None:
    """As `docker compose stop` and `up` do: what runs ends first, what waits is done after."""
    for _ in range(rounds // 3):
        celery = [start_worker(), start_worker("billing"), start_beat()]
        submit(24, hold=1.0, lease_seconds=60)
        wait_for(lambda: Errand.objects.filter(status=Job.Status.RUNNING).count() >= 8, "they run")
        for process in celery:
            process.popen.terminate()
        assert [process.popen.wait(40) for process in celery] == [0, 0, 0]
        assert not Errand.objects.filter(status=Job.Status.RUNNING).exists()
        submit(6)
        redis_server.stop()
        connection.close()
        postgres_server.restart()
        redis_server.start()
    start_worker(), start_worker("billing"), start_beat()
    wait_for(lambda: unfinished() == 0, "all done", seconds=60)
    assert_each_happened_once(sandbox, asked_once=True)
    assert set(Errand.objects.values_list("attempts", flat=True)) == {1}


def test_kills_at_random_moments(
    start_worker: StartWorker, start_beat: Any, sandbox: str, redis_server: Redis, rounds: int
) -> None:
    dice = random.Random(24)
    keepers = [
        Keeper(lambda: start_worker(wait=False)),
        Keeper(lambda: start_worker("billing", wait=False)),
        Keeper(lambda: start_beat(wait=False)),
    ]
    for _ in range(rounds):
        submit(30, hold=0.3, max_attempts=20)
        for _ in range(4):
            wait_seconds(dice.uniform(0.5, 2.5))
            dice.choice(keepers).process.kill()
            if dice.random() < 0.3:
                redis.Redis(port=redis_server.port).flushall()
            for keeper in keepers:
                keeper.look()

    def all_done() -> bool:
        for keeper in keepers:
            keeper.look()
        return unfinished() == 0

    wait_for(all_done, "all done", seconds=90)
    assert_each_happened_once(sandbox)


def wait_seconds(seconds: float) -> None:
    """The length of an outage is a length of time: there is no condition to wait for."""
    threading.Event().wait(seconds)


def test_two_beats_do_no_harm(
    start_worker: StartWorker, start_beat: Any, sandbox: str, spawn: Spawn
) -> None:
    start_beat(), start_beat()
    start_worker()
    submit(30)
    wait_for(lambda: unfinished() == 0, "all done")
    assert_each_happened_once(sandbox, asked_once=True)
    assert set(Errand.objects.values_list("attempts", flat=True)) == {1}
