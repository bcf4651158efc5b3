"""Doing a job that was rung for: claim, perform, and settle whatever came of it."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from celery import current_task
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from apps.jobs.errors import LeaseLost, NotYet, Permanent, Temporary
from apps.jobs.models import Job
from apps.jobs.services import (
    claim_job,
    fail_job,
    finishing,
    hand_back_job,
    release_is_current,
    retry_job_later,
    ring_soon,
)
from config.logs import log_context

logger = logging.getLogger(__name__)

J = TypeVar("J", bound=Job)
T = TypeVar("T")
Write = Callable[[], object]

DATABASE_PATIENCE_SECONDS = 20.0
LONGEST_PAUSE_SECONDS = 2.0

# The jobs under way here, by thread: which, and when its lease ends by monotonic clock.
_under_way: dict[int, tuple[str, float]] = {}


def run_job(model: type[J], pk: str, perform: Callable[[J], Write | None]) -> None:
    """Do the job if it is there to be done.

    `perform` talks to the outside, without a transaction, and returns what writes down what
    came of it (or None). That is called in the transaction that marks the job done, again if
    PostgreSQL restarts meanwhile: the outside is not asked twice for a lost commit.
    """
    asked_at = time.monotonic()
    job = _patiently(lambda: claim_job(model=model, pk=pk))
    if job is None:
        if not release_is_current():
            ring_soon(model=model, pk=pk)
        return
    run_claimed_job(job, perform, claimed_at=asked_at)


def run_claimed_job(
    job: J, perform: Callable[[J], Write | None], *, claimed_at: float | None = None
) -> None:
    """Do a job that the caller has claimed; `claimed_at` by the monotonic clock, now by default."""
    asked_at = time.monotonic() if claimed_at is None else claimed_at
    if not connection.in_atomic_block:
        connection.close()  # back to the pool: waiting for the outside needs no connection
    _under_way[threading.get_ident()] = (str(job), asked_at + job.lease.total_seconds())
    task_id = str(current_task.request.id) if current_task else ""
    try:
        with log_context(job=str(job), request_id=job.request_id, task_id=task_id):
            _perform_and_settle(job, perform)
    finally:
        _under_way.pop(threading.get_ident(), None)


def _perform_and_settle(job: J, perform: Callable[[J], Write | None]) -> None:
    started = time.monotonic()
    settle = _perform(job, perform)
    try:
        _patiently(settle)
    except LeaseLost:
        logger.warning("lease lost, late outcome dropped", extra={"attempt": job.attempts})
        return
    seconds = round(time.monotonic() - started, 3)
    logger.info("job settled", extra={"status": str(job.status), "seconds": seconds})


def _perform(job: J, perform: Callable[[J], Write | None]) -> Write:
    """Do the work; returns how to settle it."""
    try:
        write = perform(job)
        return lambda: _finish(job, write)
    except Permanent as error:
        code, text = error.code, str(error)
        return lambda: fail_job(job=job, code=code, error=text)
    except Temporary as error:
        code, text, after = error.code, str(error), error.after
        return lambda: retry_job_later(job=job, code=code, error=text, after=after)
    except NotYet as error:
        code, after = error.code, error.after
        return lambda: hand_back_job(job=job, code=code, after=after)
    except Exception as error:
        # Ours to mend; until then another try may meet better weather.
        logger.exception("job raised")
        text = f"{type(error).__name__}: {error}"[:500]
        return lambda: retry_job_later(job=job, code="internal_error", error=text)


def _finish(job: Job, write: Write | None) -> None:
    with finishing(job):
        if write is not None:
            write()


def _patiently(write: Callable[[], T]) -> T:
    """Write to the database, through a restart of it: a row must not wait for its next ring."""
    deadline = time.monotonic() + DATABASE_PATIENCE_SECONDS
    pause = 0.1
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError):
            if time.monotonic() + pause > deadline:
                raise
            logger.warning("database away, trying again")
            close_old_connections()
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def meanwhile(work: Callable[[], T]) -> T:
    """Use the database in the midst of `perform`, through a restart of it.

    The connection goes back to the pool at once: the next wait for the outside needs none.
    """
    try:
        return _patiently(work)
    finally:
        if not connection.in_atomic_block:
            connection.close()


def overdue() -> bool:
    """Whether a job here has outlived its lease, and so may be running elsewhere as well."""
    now = time.monotonic()
    return any(now > lease_ends for _, lease_ends in list(_under_way.values()))


def under_way() -> list[str]:
    return [job for job, _ in list(_under_way.values())]
