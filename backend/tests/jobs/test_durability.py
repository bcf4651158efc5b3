"""Jobs survive what happens to workers, messages and Redis. Effects are counted outside."""

import signal
import subprocess
from collections import Counter
from datetime import timedelta
from typing import Any

import httpx
import psutil
import pytest
import redis
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.jobs import broker
from apps.jobs.broker import ring
from apps.jobs.models import Job, Probe
from apps.jobs.services import claim_job, record_release, submit_job
from apps.jobs.sweep import BATCH, sweep
from sandbox.embedded import Redis
from tests.deployment.conftest import check_health
from tests.errands.models import Errand
from tests.processes import StartWorker, effects, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def submit(number: int = 1, **fields: Any) -> list[Errand]:
    with transaction.atomic():
        return [submit_job(job=Errand(**fields)) for _ in range(number)]


def done() -> int:
    return Errand.objects.filter(status=Job.Status.DONE).count()


def let_time_pass() -> None:
    """As if every pause and lease had just ended."""
    past = Now() - timedelta(seconds=1)
    Errand.objects.update(
        run_after=past,
        ring_after=past,
        lease_until=F("lease_until") - timedelta(minutes=10),
    )


def executions(sandbox: str) -> Counter[str]:
    return Counter(entry["headers"]["idempotency-key"] for entry in effects(sandbox))


def messages(server: Redis) -> int:
    client = redis.Redis(port=server.port)
    return int(client.llen("default")) + int(client.hlen("unacked"))


def test_two_workers_claim_one_row_once(start_worker: StartWorker, sandbox: str) -> None:
    start_worker(), start_worker()
    errands = submit(30)
    for errand in errands:
        ring(errand)
    wait_for(lambda: done() == 30, "all done")
    assert set(executions(sandbox).values()) == {1}
    assert set(Errand.objects.values_list("attempts", flat=True)) == {1}


def test_the_same_message_ten_times_is_one_effect(start_worker: StartWorker, sandbox: str) -> None:
    (errand,) = submit(hold=0.3)
    for _ in range(9):
        ring(errand)
    start_worker()
    wait_for(lambda: done() == 1, "done")
    (probe,) = submit()
    wait_for(lambda: done() == 2, "a later one done, so all messages are spent")
    assert executions(sandbox) == {str(errand.pk): 1, str(probe.pk): 1}


def test_a_killed_worker_is_followed_by_another(start_worker: StartWorker, sandbox: str) -> None:
    first = start_worker()
    (errand,) = submit(hold=2)
    wait_for(lambda: effects(sandbox), "the outside was asked")
    first.kill()
    start_worker()
    let_time_pass()
    assert sweep() == 1
    wait_for(lambda: done() == 1, "done by the second worker")
    errand.refresh_from_db()
    assert (errand.attempts, errand.result) == (2, "attempt 2")
    assert executions(sandbox) == {str(errand.pk): 2}, "asked twice, with the same key"


def test_a_worker_that_slept_through_its_lease_changes_nothing(
    start_worker: StartWorker, sandbox: str
) -> None:
    first = start_worker()
    (errand,) = submit(hold=1)
    wait_for(lambda: effects(sandbox), "the outside was asked")
    first.send(signal.SIGSTOP)
    start_worker()
    let_time_pass()
    # The frozen worker still waits at the queue, and may be the one whom a ring reaches.
    wait_for(
        lambda: ring(errand) and Errand.objects.get(pk=errand.pk).attempts == 2,
        "claimed by the second worker",
    )
    wait_for(lambda: done() == 1, "done by the second worker")
    finished = Errand.objects.get(pk=errand.pk).finished_at
    first.send(signal.SIGCONT)
    wait_for(
        lambda: "late outcome dropped" in first.output() or first.popen.poll() is not None,
        "the first worker notices",
    )
    errand.refresh_from_db()
    assert (errand.status, errand.attempts, errand.result) == ("done", 2, "attempt 2")
    assert errand.finished_at == finished


def test_a_short_pause_ends_by_itself(start_worker: StartWorker, sandbox: str) -> None:
    """Nobody sweeps here: who puts a job off for less than a sweep has it rung for in time."""
    start_worker()
    order = {"service": "effects", "kind": "status", "status": 503}
    assert httpx.post(f"{sandbox}/_faults", json=order, timeout=10).status_code == 201
    (errand,) = submit()
    wait_for(lambda: done() == 1, "done at the second attempt")
    assert executions(sandbox) == {str(errand.pk): 2}


def test_a_broker_that_is_down_at_creation_costs_nothing(
    start_worker: StartWorker, sandbox: str, redis_server: Redis
) -> None:
    redis_server.stop()
    try:
        (errand,) = submit()
    finally:
        redis_server.start()
    broker.listen_again()
    assert messages(redis_server) == 0, "nothing was sent"
    start_worker()
    sweep()
    wait_for(lambda: done() == 1, "done once Redis is back")
    assert executions(sandbox) == {str(errand.pk): 1}


def test_waiting_jobs_are_not_rung_over_and_over(redis_server: Redis) -> None:
    broker.remember()
    submit(1000)
    assert messages(redis_server) == 1000
    for _ in range(20):
        sweep()
    assert messages(redis_server) == 1000
    Errand.objects.update(ring_after=Now() - timedelta(seconds=1))
    for _ in range(20):
        sweep()
    assert messages(redis_server) <= 2000


def test_rings_grow_apart_with_the_wait(redis_server: Redis) -> None:
    (errand,) = submit()
    broker.remember()
    for waited, pause in ((0, 60), (61, 61), (300, 300), (100_000, 3600)):
        Errand.objects.update(
            run_after=Now() - timedelta(seconds=waited), ring_after=Now() - timedelta(seconds=1)
        )
        assert sweep() == 1
        left = Errand.objects.annotate(left=F("ring_after") - Now()).get(pk=errand.pk).left
        assert left.total_seconds() == pytest.approx(pause, abs=2)


def test_a_days_backlog_is_rung_in_bounded_batches(redis_server: Redis) -> None:
    broker.remember()
    yesterday = Now() - timedelta(days=1)
    Errand.objects.bulk_create(
        Errand(run_after=yesterday, ring_after=yesterday) for _ in range(2 * BATCH + 3)
    )
    assert [sweep() for _ in range(4)] == [BATCH, BATCH, 3, 0]
    assert messages(redis_server) == 2 * BATCH + 3


def test_a_job_that_waited_long_is_rung_for_when_its_lease_ends(redis_server: Redis) -> None:
    (errand,) = submit(lease_seconds=60)
    Errand.objects.update(ring_after=Now() + timedelta(hours=1))
    broker.remember()
    assert claim_job(model=Errand, pk=errand.pk)
    assert sweep() == 0, "it runs"
    Errand.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert sweep() == 1, "its worker is dead, and nobody waits an hour for the next"


def test_money_does_not_wait_behind_what_is_slow_or_stuck(
    start_worker: StartWorker, sandbox: str
) -> None:
    start_worker()
    submit(20, queue="ai", hold=60, lease_seconds=240)
    submit(20, queue="default", hold=60, lease_seconds=240)
    wait_for(lambda: len(effects(sandbox)) == 4, "every slot of the worker is taken")
    start_worker("billing")
    probes = [submit_job(job=Probe(queue="billing")) for _ in range(20)]
    settled = Probe.objects.filter(status=Job.Status.DONE)
    wait_for(lambda: settled.count() == len(probes), "money's lane does them all")
    assert (len(effects(sandbox)), done()) == (4, 0), "while nothing else has moved"


def test_a_flushed_redis_loses_no_job(
    start_worker: StartWorker, sandbox: str, redis_server: Redis
) -> None:
    broker.remember()
    errands = submit(100)
    redis.Redis(port=redis_server.port).flushall()
    start_worker()
    assert sweep() == 100, "noticed at once, not after the rows' own time"
    wait_for(lambda: done() == 100, "all done")
    assert executions(sandbox) == Counter(str(errand.pk) for errand in errands)


def test_a_job_that_kills_its_worker_fails_and_the_others_go_on(
    start_worker: StartWorker, sandbox: str
) -> None:
    (poison,) = submit(kill_at="claimed", kills=3)
    for attempt in (1, 2, 3):
        worker = start_worker(wait=False)
        sweep()
        code = worker.popen.wait(30)
        assert code == -signal.SIGKILL, f"attempt {attempt} killed its worker"
        let_time_pass()
    others = submit(5)
    last = start_worker()
    sweep()
    wait_for(lambda: done() == 5, "the others are done")
    wait_for(lambda: Errand.objects.get(pk=poison.pk).status == "failed", "the poison is failed")
    poison.refresh_from_db()
    assert (poison.error_code, poison.last_error) == ("worker_lost", "worker died 3 times")
    assert last.popen.poll() is None
    assert executions(sandbox) == Counter(str(errand.pk) for errand in others)


def test_beat_rings_for_what_was_lost(
    start_worker: StartWorker, start_beat: Any, sandbox: str, redis_server: Redis
) -> None:
    submit(3)
    redis.Redis(port=redis_server.port).flushall()
    start_worker("billing")
    start_worker("default")
    start_beat()
    wait_for(lambda: done() == 3, "swept, rung and done without a hand", seconds=20)


def test_a_warm_stop_finishes_what_runs(start_worker: StartWorker, sandbox: str) -> None:
    worker = start_worker()
    (errand,) = submit(hold=20, lease_seconds=60)
    wait_for(lambda: effects(sandbox), "the outside was asked")
    worker.popen.terminate()
    try:
        assert worker.popen.wait(40) == 0
    except subprocess.TimeoutExpired:
        pytest.fail(worker.output())
    errand.refresh_from_db()
    assert (errand.status, errand.attempts) == ("done", 1)
    assert f"errands.Errand {errand.pk}" in worker.output().partition("stopping")[2]


def test_a_worker_of_another_release_waits_idle_and_healthy(
    start_worker: StartWorker, sandbox: str
) -> None:
    """Forward: the old worker claims no more. Backward: after a roll-back it does again."""
    record_release(release="new")
    old = start_worker(RELEASE="old")
    (errand,) = submit()
    wait_for(lambda: "idle until replaced" in old.output(), "it heard the ring")
    (old.runtime / "heartbeat").unlink()
    wait_for(lambda: (old.runtime / "heartbeat").exists(), "its loop turns")
    assert Errand.objects.get(pk=errand.pk).attempts == 0

    new = start_worker(RELEASE="new")
    assert sweep() == 1, "without waiting for its next ring"
    submit(20)
    wait_for(lambda: done() == 21, "the new worker does it all")
    new.stop()

    record_release(release="old")
    wait_for(lambda: "current again" in old.output(), "it comes back")
    submit()
    wait_for(lambda: done() == 22, "the old worker does what comes after the roll-back")
    assert old.popen.poll() is None


def test_a_worker_whose_job_outlived_its_lease_ends_itself(
    start_worker: StartWorker, sandbox: str
) -> None:
    worker = start_worker()
    submit(hold=20, lease_seconds=1)
    assert worker.popen.wait(15) == 1
    assert "a job outlived its lease" in worker.output()
    Errand.objects.update(hold=0, lease_seconds=60)
    start_worker()
    let_time_pass()
    sweep()
    wait_for(lambda: done() == 1, "done by the next worker")


def test_prefork_ends_a_job_that_hangs_and_goes_on(start_worker: StartWorker, sandbox: str) -> None:
    worker = start_worker(
        concurrency=2,
        CELERY_WORKER_POOL="prefork",
        CELERY_TASK_TIME_LIMIT="10",
        CELERY_WORKER_MAX_TASKS="4",
        CELERY_WORKER_MAX_MEMORY_MB="300",
    )
    (stuck,) = submit(hold=30, lease_seconds=12)
    submit(20)
    wait_for(lambda: done() == 20, "the others are done, by more than one generation of children")
    wait_for(lambda: "Hard time limit (10s) exceeded" in worker.output(), "it is ended")
    Errand.objects.filter(pk=stuck.pk).update(hold=0)
    let_time_pass()
    wait_for(lambda: sweep() == 1, "it is rung for")
    wait_for(lambda: done() == 21, "done by another child")
    assert set(executions(sandbox).values()) == {1, 2}
    assert check_health(worker, "heartbeat")[0] == 0


def test_sixteen_calls_wait_at_once_in_one_worker(start_worker: StartWorker, sandbox: str) -> None:
    worker = start_worker(concurrency=16)
    submit(16, hold=9.0, lease_seconds=60)
    wait_for(lambda: len(effects(sandbox)) == 16, "all are under way", seconds=8)
    for _ in range(2):
        assert check_health(worker, "heartbeat")[0] == 0, "busy is healthy"
    assert done() == 0, "none had ended when the last began"
    wait_for(lambda: done() == 16, "all done")
    resident = psutil.Process(worker.popen.pid).memory_info().rss
    assert resident < 400 * 1024**2


def test_a_thousand_jobs_need_few_connections(start_worker: StartWorker, sandbox: str) -> None:
    start_worker(concurrency=8)
    with connection.cursor() as cursor:
        cursor.execute("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
        before = cursor.fetchone()[0]
    with transaction.atomic():
        for _ in range(1000):
            submit_job(job=Probe(queue="default"))
    wait_for(
        lambda: not Probe.objects.exclude(status=Job.Status.DONE).exists(), "all done", seconds=60
    )

    def sessions() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
            )
            return int(cursor.fetchone()[0])

    assert sessions() - before < 50
