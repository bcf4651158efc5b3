"""Doing a job that was rung for: claim, perform, and settle whatever came of it."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from apps.jobs.errors import LeaseLost, NotYet, Permanent, Temporary
from apps.jobs.models import Job
from apps.jobs.services import (
    claim_job,
    fail_job,
    finishing,
    hand_back_job,
    retry_job_later,
)
from config.logs import log_context

logger = logging.getLogger(__name__)

J = TypeVar("J", bound=Job)

# When each job under way here outlives its lease, by monotonic clock.
_leases: dict[int, float] = {}


def run_job(model: type[J], pk: str, perform: Callable[[J], None]) -> None:
    """Do the job if it is there to be done.

    `perform` talks to the outside without a transaction and writes what came of it inside
    `finishing(job)`; where there is nothing to write it just returns.
    """
    job = claim_job(model=model, pk=pk)
    if job is None:
        return
    _leases[threading.get_ident()] = time.monotonic() + job.lease.total_seconds()
    try:
        with log_context(job=str(job), request_id=job.request_id):
            _perform_and_settle(job, perform)
    finally:
        _leases.pop(threading.get_ident(), None)


def _perform_and_settle(job: J, perform: Callable[[J], None]) -> None:
    started = time.monotonic()
    try:
        try:
            perform(job)
            if job.status == Job.Status.RUNNING:
                with finishing(job):
                    pass
        except Permanent as error:
            fail_job(job=job, code=error.code, error=str(error))
        except Temporary as error:
            retry_job_later(job=job, code=error.code, error=str(error), after=error.after)
        except NotYet as error:
            hand_back_job(job=job, code=error.code, after=error.after)
        except LeaseLost:
            raise
        except Exception as error:
            # Ours to mend; until then another try may meet better weather.
            logger.exception("job raised")
            retry_job_later(
                job=job, code="internal_error", error=f"{type(error).__name__}: {error}"[:500]
            )
    except LeaseLost:
        logger.warning("lease lost, late outcome dropped", extra={"attempt": job.attempts})
        return
    logger.info(
        "job settled",
        extra={"status": str(job.status), "seconds": round(time.monotonic() - started, 3)},
    )


def overdue() -> bool:
    """Whether a job here has outlived its lease, and so may be running elsewhere as well."""
    now = time.monotonic()
    return any(now > end for end in list(_leases.values()))
