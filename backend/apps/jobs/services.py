"""The life of a job: submit, claim, finish, fail, try again.

Besides these, only the sweep moves `ring_after`, and `periods` removes what is old.
"""

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Q, QuerySet
from django.db.models.functions import Now

from apps.jobs.broker import ring
from apps.jobs.errors import LeaseLost
from apps.jobs.models import FIRST_RING_AGAIN, CurrentRelease, Job
from config.celery import SWEEP_SECONDS
from config.logs import current

logger = logging.getLogger(__name__)

J = TypeVar("J", bound=Job)

CANCELED = "canceled"
"""The code of a job that was called off; it failed, and is nobody's dead letter."""

_watchers: dict[type[Job], list[Callable[[Job], None]]] = {}

CLAIMABLE = Q(status=Job.Status.PENDING, run_after__lte=Now()) | Q(
    status=Job.Status.RUNNING, lease_until__lte=Now()
)


def submit_job(*, job: J, after: timedelta = timedelta()) -> J:
    """Insert the job in the caller's transaction and ring once that commits, or after so long."""
    job.request_id = job.request_id or current("request_id")
    job.ring_after = Now() + FIRST_RING_AGAIN
    if after:
        job.run_after = job.ring_after = Now() + after
    job.save(force_insert=True)
    if after:
        _ring_in_time(job, after)
    else:
        transaction.on_commit(lambda: _ring(job), robust=True)
    return job


def record_done_job(*, job: J) -> J:
    """Insert a job that needs no doing: what comes of it is known already."""
    job.request_id = job.request_id or current("request_id")
    job.status = Job.Status.DONE
    job.save(force_insert=True)
    _row(job).update(finished_at=Now())
    return job


def submit_claimed_job(*, job: J) -> J:
    """Insert the job as one that the caller has claimed and will do at once (`run_claimed_job`).

    Nobody rings: if the caller dies, the sweep does when the lease has run out.
    """
    job.request_id = job.request_id or current("request_id")
    job.status = Job.Status.RUNNING
    job.attempts = 1
    job.lease_until = Now() + job.lease
    job.ring_after = Now() + FIRST_RING_AGAIN
    job.release = settings.RELEASE
    job.save(force_insert=True)
    return job


def _ring(job: Job) -> None:
    if not ring(job):  # then the next sweep shall, and not the one a minute from now
        _row(job).filter(status=Job.Status.PENDING).update(ring_after=F("run_after"))


def claim_job(*, model: type[J], pk: UUID | str) -> J | None:
    """Take the job for one lease, or None where it is not there to be taken.

    A job whose worker died at its last attempt is failed here.
    """
    with transaction.atomic():
        job = (
            # no_key: a row that is just being referred to is not skipped, and its ring not lost.
            model._default_manager.select_for_update(skip_locked=True, no_key=True)
            .filter(CLAIMABLE, _release_may_claim(), pk=pk)
            .first()
        )
        if job is None:
            return None
        if job.status == Job.Status.RUNNING and job.tries_left <= 0:
            deaths = job.attempts - job.handed_back
            fail_job(job=job, code="worker_lost", error=f"worker died {deaths} times")
            return None
        _row(job).update(
            status=Job.Status.RUNNING,
            attempts=F("attempts") + 1,
            lease_until=Now() + job.lease,
            ring_after=Now(),  # should the worker die, the end of its lease is soon enough
            release=settings.RELEASE,
        )
    job.attempts += 1
    job.status = Job.Status.RUNNING
    return job


def _release_may_claim() -> Q:
    """A worker of another release than the recorded one claims nothing."""
    return Q(~Exists(_another_release()))


def release_is_current() -> bool:
    """Whether workers of this release may claim."""
    return not _another_release().exists()


def _another_release() -> QuerySet[CurrentRelease]:
    """The recorded release where it is not this one; dev is never guarded."""
    if settings.RELEASE == "dev":
        return CurrentRelease.objects.none()
    return CurrentRelease.objects.exclude(release=settings.RELEASE)


def ring_soon(*, model: type[Job], pk: UUID | str) -> None:
    """Have the next sweep ring for the job again: who heard it may not do it."""
    model._default_manager.filter(pk=pk, status__in=Job.OPEN).update(ring_after=Now())


@contextmanager
def finishing(job: Job) -> Iterator[None]:
    """A transaction that marks the job done and writes, inside, what came of it.

    Raises LeaseLost, and writes nothing, where the job is another worker's by now.
    """
    with transaction.atomic():
        _settle(job, status=Job.Status.DONE, finished_at=Now(), error_code="", last_error="")
        yield
        job.status = Job.Status.DONE
        _tell_who_waits(job)


def fail_job(*, job: Job, code: str, error: str) -> None:
    """End the job for good; it is a dead letter from now on."""
    with transaction.atomic():
        _settle(
            job,
            status=Job.Status.FAILED,
            finished_at=Now(),
            error_code=code,
            last_error=error,
            handled_by="",
            handled_at=None,
        )
        job.status = Job.Status.FAILED
        _tell_who_waits(job)
    logger.error("job failed", extra={"job": str(job), "code": code, "error": error})


def watch_ends(model: type[Job], callback: Callable[[Job], None]) -> None:
    """Have `callback(job)` called in the transaction in which a job of this kind ends.

    `job.status` says how it ended. The callback writes rows and nothing else: whatever it raises
    would undo the end. Apps register when they are ready, for jobs of the apps below them.
    """
    _watchers.setdefault(model, []).append(callback)


def _tell_who_waits(job: Job) -> None:
    for callback in _watchers.get(type(job), ()):
        callback(job)


def retry_job_later(*, job: Job, code: str, error: str, after: timedelta = timedelta()) -> None:
    """Try again with growing, jittered pauses; fail where no attempt is left."""
    if job.tries_left <= 0:
        fail_job(job=job, code=code, error=error)
        return
    pause = max(after, _backoff(job))
    _postpone(job, pause, error_code=code, last_error=error)
    logger.warning(
        "job will be tried again",
        extra={"job": str(job), "code": code, "error": error, "pause_s": pause.total_seconds()},
    )


def hand_back_job(*, job: Job, code: str, after: timedelta = timedelta()) -> None:
    """Give the job back untried. The claim stays counted, as it fences, but costs no attempt."""
    _postpone(job, after, handed_back=job.handed_back + 1, error_code=code, last_error="")


def cancel_job(*, job: Job, by: str) -> bool:
    """End an open job because it is not wanted any more. False where it has ended.

    A worker that is at it finishes its call, and its outcome is dropped as one that came too late.
    """
    with transaction.atomic():
        canceled = (
            _row(job)
            .filter(status__in=Job.OPEN)
            .update(
                status=Job.Status.FAILED,
                finished_at=Now(),
                lease_until=None,
                error_code=CANCELED,
                last_error="",
                handled_by=by,
                handled_at=Now(),
            )
        )
        if canceled:
            job.status = Job.Status.FAILED
            _tell_who_waits(job)
    if canceled:
        logger.info("job canceled", extra={"job": str(job), "by": by})
    return bool(canceled)


def bring_forward(*, job: Job) -> bool:
    """Have a waiting job done now and not at its hour. False where it does not wait."""
    waiting = _row(job).filter(status=Job.Status.PENDING, run_after__gt=Now())
    brought = bool(waiting.update(run_after=Now(), ring_after=Now() + FIRST_RING_AGAIN))
    if brought:
        transaction.on_commit(lambda: _ring(job), robust=True)
    return brought


def _backoff(job: Job) -> timedelta:
    doublings = min(max(job.attempts - job.handed_back, 1) - 1, 16)
    pause: timedelta = min(job.backoff * 2**doublings, job.backoff_limit)
    return pause * random.uniform(0.75, 1.25)  # noqa: S311


def _postpone(job: Job, pause: timedelta, **values: object) -> None:
    run_after = Now() + pause
    _settle(
        job,
        status=Job.Status.PENDING,
        run_after=run_after,
        ring_after=run_after,
        **values,
    )
    job.status = Job.Status.PENDING
    _ring_in_time(job, pause)


def _ring_in_time(job: Job, pause: timedelta) -> None:
    """The sweep comes by only now and then: what is due sooner gets a ring of its own."""
    if pause.total_seconds() < SWEEP_SECONDS:
        transaction.on_commit(lambda: ring(job, after=pause), robust=True)


def bring_job_forward(*, job: Job, after: timedelta = timedelta()) -> None:
    """Have a job that waits for longer looked at after so long."""
    due = Now() + after
    waits = _row(job).filter(status=Job.Status.PENDING, run_after__gt=due)
    if waits.update(run_after=due, ring_after=due):
        _ring_in_time(job, after)


def _row(job: Job) -> QuerySet[Job]:
    return type(job)._default_manager.filter(pk=job.pk)


def _settle(job: Job, **values: object) -> None:
    mine = _row(job).filter(status=Job.Status.RUNNING, attempts=job.attempts)
    if not mine.update(lease_until=None, **values):
        raise LeaseLost(str(job))


def retry_dead_letter(*, job: J, by: str) -> bool:
    """Open a failed job again with fresh attempts.

    False where it is not failed any more, or was called off.
    """
    again = (
        _row(job)
        .filter(status=Job.Status.FAILED)
        .exclude(error_code=CANCELED)
        .update(
            status=Job.Status.PENDING,
            max_attempts=F("attempts") - F("handed_back") + job.tries,
            run_after=Now(),
            ring_after=Now() + FIRST_RING_AGAIN,
            finished_at=None,
            handled_by=by,
            handled_at=Now(),
        )
    )
    if again:
        logger.info("dead letter retried", extra={"job": str(job), "by": by})
        transaction.on_commit(lambda: _ring(job), robust=True)
    return bool(again)


def dismiss_dead_letter(*, job: Job, by: str) -> bool:
    """Leave a failed job failed, as seen by somebody. False where it is not open to that."""
    seen = (
        _row(job)
        .filter(status=Job.Status.FAILED, handled_at=None)
        .update(handled_by=by, handled_at=Now())
    )
    if seen:
        logger.info("dead letter dismissed", extra={"job": str(job), "by": by})
    return bool(seen)


def record_release(*, release: str) -> None:
    """From now on only workers of this release claim jobs."""
    CurrentRelease.objects.update_or_create(id=1, defaults={"release": release, "set_at": Now()})
