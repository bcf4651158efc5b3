"""A worker past its memory alarm takes no more jobs, ends those it has, and then itself."""

from typing import Any

import psutil
import pytest
from django.db import transaction

from apps.jobs.broker import ring
from apps.jobs.models import Job
from apps.jobs.services import submit_job
from tests.deployment.conftest import check_health
from tests.errands.models import Errand
from tests.processes import Process, StartWorker, effects, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

GROWTH_MB = 300


def submit(**fields: Any) -> Errand:
    with transaction.atomic():
        return submit_job(job=Errand(lease_seconds=60, **fields))


def status(errand: Errand) -> str:
    return str(Errand.objects.values_list("status", flat=True).get(pk=errand.pk))


def megabytes(process: Process) -> int:
    return int(psutil.Process(process.popen.pid).memory_info().rss) // 1024**2


def test_it_ends_its_jobs_and_then_itself(start_worker: StartWorker, sandbox: str) -> None:
    worker = start_worker(MEMORY_ALARM_MB=str(GROWTH_MB))
    assert megabytes(worker) < GROWTH_MB
    long, grows = submit(hold=8.0), submit(grows=GROWTH_MB)
    wait_for(lambda: "taking no more jobs" in worker.output(), "it notices")
    late = submit()
    ring(late)
    assert check_health(worker, "heartbeat") == (0, ""), "it beats while its jobs end"
    assert status(long) == Job.Status.RUNNING
    assert worker.popen.poll() is None
    assert worker.popen.wait(30) == 0, "a warm stop"
    assert (status(long), status(grows)) == (Job.Status.DONE, Job.Status.DONE)
    assert status(late) == Job.Status.PENDING, "it was left to the next"
    start_worker(MEMORY_ALARM_MB=str(GROWTH_MB))
    ring(late)
    wait_for(lambda: status(late) == Job.Status.DONE, "the next does it")
    assert len(effects(sandbox)) == 3, "each once"


def test_below_the_alarm_it_goes_on(start_worker: StartWorker) -> None:
    worker = start_worker(MEMORY_ALARM_MB="2048")
    for _ in range(2):
        errand = submit(grows=GROWTH_MB)
        wait_for(lambda errand=errand: status(errand) == Job.Status.DONE, "done")
    assert megabytes(worker) > GROWTH_MB
    assert check_health(worker, "heartbeat") == (0, "")
    assert "memory alarm" not in worker.output()


def test_where_a_fresh_one_is_past_it_none_ends_itself(start_worker: StartWorker) -> None:
    """Starting again would help nothing, and for ever."""
    worker = start_worker(MEMORY_ALARM_MB="64")
    assert megabytes(worker) > 64
    errand = submit()
    wait_for(lambda: status(errand) == Job.Status.DONE, "it does its jobs")
    for _ in range(2):
        assert check_health(worker, "heartbeat") == (0, "")
    assert worker.popen.poll() is None
    assert "memory alarm" not in worker.output()
