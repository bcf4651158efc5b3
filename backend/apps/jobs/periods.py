"""Nightly and weekly work: a row per period, inserted once the period has begun.

Beat only ticks every minute. Whoever ticks first after the beginning inserts the row;
being late, double or absent for a day changes nothing but the hour.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.jobs.errors import Permanent
from apps.jobs.models import Job, Period, job_models
from apps.jobs.services import submit_job

logger = logging.getLogger(__name__)

MONDAY = 0
REMOVED_AT_ONCE = 5000


@dataclass(frozen=True)
class Routine:
    """Work of every day at `at`, or of every week on `weekday` (Monday is 0) at `at`."""

    name: str
    run: Callable[[], None]
    at: time
    weekday: int | None = None

    def latest_beginning(self, now: datetime) -> datetime:
        """When the period that `now` lies in began, by the calendar of TIME_ZONE."""
        local = now.astimezone(ZoneInfo(settings.TIME_ZONE))
        days = 0 if self.weekday is None else (local.weekday() - self.weekday) % 7
        begins = datetime.combine(local.date() - timedelta(days=days), self.at, local.tzinfo)
        if begins > local:
            days = 1 if self.weekday is None else 7
            begins = datetime.combine(begins.date() - timedelta(days=days), self.at, local.tzinfo)
        return begins


_routines: dict[str, Routine] = {}


def register(routine: Routine) -> None:
    """Offer a routine; apps do so when they are ready."""
    _routines[routine.name] = routine


def tick(now: datetime | None = None) -> int:
    """Insert the rows of periods that have begun; returns how many were new."""
    now = now or timezone.now()
    return sum(_begin(routine, now) for routine in _routines.values())


def _begin(routine: Routine, now: datetime) -> bool:
    begins = routine.latest_beginning(now)
    if Period.objects.filter(name=routine.name, begins=begins).exists():
        return False
    try:
        with transaction.atomic():
            submit_job(job=Period(name=routine.name, begins=begins))
    except IntegrityError:  # another beat was quicker
        return False
    return True


def run_period(period: Period) -> None:
    """Do the routine. One that this release does not have is a dead letter, not silence."""
    routine = _routines.get(period.name)
    if routine is None:
        raise Permanent("unknown_routine", f"no routine is named {period.name}")
    routine.run()


def remove_old_jobs() -> None:
    """Remove done jobs past their keeping; failed ones stay until somebody handled them."""
    for model in job_models():
        if model.keep is None:
            continue
        settled = Q(status=Job.Status.DONE) | Q(status=Job.Status.FAILED, handled_at__isnull=False)
        old = model._default_manager.filter(settled, finished_at__lt=Now() - model.keep)
        removed = 0
        while pks := list(old.values_list("pk", flat=True)[:REMOVED_AT_ONCE]):
            removed += model._default_manager.filter(pk__in=pks).delete()[0]
        logger.info("old jobs removed", extra={"kind": model._meta.label, "removed": removed})


register(Routine(name="jobs.remove_old", run=remove_old_jobs, at=time(4, 10)))
