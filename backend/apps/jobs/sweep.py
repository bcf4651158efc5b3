"""Ringing again for what waits: messages get lost, workers die, Redis forgets."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Value
from django.db.models.functions import Greatest, Least, Now

from apps.jobs import broker
from apps.jobs.models import FIRST_RING_AGAIN, Job, job_models

logger = logging.getLogger(__name__)

BATCH = 500
RING_AGAIN_LIMIT = timedelta(hours=1)

_due_since = Greatest("run_after", "lease_until", output_field=DateTimeField())
# The next ring is as far away as the row has been waiting: 60 s, 120 s, 240 s …
_next_pause = Least(
    Greatest(
        Value(FIRST_RING_AGAIN, DurationField()),
        ExpressionWrapper(Now() - _due_since, output_field=DurationField()),
    ),
    Value(RING_AGAIN_LIMIT, DurationField()),
)


def sweep() -> int:
    """Ring for a bounded batch of each kind of job; returns how many were rung."""
    if broker.has_forgotten():
        # The marker is set after the rows, so that a sweep killed between does it again.
        waiting = sum(_expect_no_ring(model) for model in job_models())
        broker.remember()
        broker.listen_again()
        if waiting:
            logger.warning("Redis forgot its messages", extra={"waiting": waiting})
    return sum(_ring_batch(model) for model in job_models())


def _expect_no_ring(model: type[Job]) -> int:
    return model._default_manager.filter(
        status__in=Job.OPEN, ring_after__gt=Now(), run_after__lte=Now()
    ).update(ring_after=Now())


def _ring_batch(model: type[Job]) -> int:
    with transaction.atomic():
        jobs = list(
            model._default_manager.select_for_update(skip_locked=True, no_key=True)
            .filter(status__in=Job.OPEN)
            .alias(due=Greatest("run_after", "lease_until", "ring_after"))
            .filter(due__lte=Now())
            .order_by("due")[:BATCH]
        )
        model._default_manager.filter(pk__in=[job.pk for job in jobs]).update(
            ring_after=Now() + _next_pause
        )
    for position, job in enumerate(jobs):
        if not broker.ring(job):
            unheard = [job.pk for job in jobs[position:]]
            model._default_manager.filter(pk__in=unheard).update(ring_after=F("run_after"))
            return position
    return len(jobs)
