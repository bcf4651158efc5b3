"""The row that is the job.

All work that must happen is a row first. A Celery message only says "look now": it may be
lost, doubled, late or out of order without changing what happens.
"""

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.apps import apps
from django.db import models
from django.db.models import Q
from django.db.models.functions import Greatest, Now

FIRST_RING_AGAIN = timedelta(seconds=60)


class Job(models.Model):
    """Work that happens at least once until it is `done` or `failed`.

    A subclass names the Celery task that does it. Its fields change only through
    `apps.jobs.services`; times are the database's, so that no two clocks are compared.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    OPEN = (Status.PENDING, Status.RUNNING)

    task: ClassVar[str]
    lease: ClassVar[timedelta] = timedelta(seconds=240)
    tries: ClassVar[int] = 3
    backoff: ClassVar[timedelta] = timedelta(seconds=5)
    backoff_limit: ClassVar[timedelta] = timedelta(minutes=30)
    # How long a done row is kept; None: it is somebody's data and stays.
    keep: ClassVar[timedelta | None] = timedelta(days=30)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    # Counts claims, and so fences: an outcome is accepted only from the newest claim.
    attempts = models.PositiveIntegerField(default=0)
    handed_back = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField()
    run_after = models.DateTimeField(db_default=Now())
    lease_until = models.DateTimeField(null=True)
    ring_after = models.DateTimeField(db_default=Now())
    error_code = models.CharField(max_length=64, blank=True)
    last_error = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    release = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    # A failed job is a dead letter until somebody has retried or dismissed it.
    handled_by = models.CharField(max_length=64, blank=True)
    handled_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True
        indexes = [
            models.Index(
                Greatest("run_after", "lease_until", "ring_after"),
                name="%(app_label)s_%(class)s_due",
                condition=Q(status__in=["pending", "running"]),
            ),
            models.Index(
                "finished_at",
                name="%(app_label)s_%(class)s_finished",
                condition=Q(status__in=["done", "failed"]),
            ),
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.max_attempts is None:
            self.max_attempts = self.tries

    def __str__(self) -> str:
        return f"{self._meta.label} {self.pk}"

    @property
    def tries_left(self) -> int:
        """Claims that may still be made; those that were handed back cost nothing."""
        return self.max_attempts - (self.attempts - self.handed_back)

    def message_options(self) -> dict[str, Any]:
        """What the message needs beyond its route."""
        return {}


def job_models() -> list[type[Job]]:
    """Every kind of job there is: the register is the class hierarchy."""
    return [model for model in apps.get_models() if issubclass(model, Job)]


class Probe(Job):
    """A job that does nothing, to see that a queue is served."""

    task = "apps.jobs.tasks.run_probe"
    keep = timedelta(days=1)
    tries = 1

    queue = models.CharField(max_length=16)

    def message_options(self) -> dict[str, Any]:
        return {"queue": self.queue, "routing_key": self.queue}


class Period(Job):
    """One run of a nightly or weekly routine."""

    task = "apps.jobs.tasks.run_period"
    tries = 5
    keep = timedelta(days=90)

    name = models.CharField(max_length=64)
    begins = models.DateTimeField()

    class Meta(Job.Meta):
        constraints = [
            models.UniqueConstraint(fields=["name", "begins"], name="period_happens_once")
        ]


class CurrentRelease(models.Model):
    """The release that may claim jobs; one row, or none where nothing guards."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    release = models.CharField(max_length=64)
    set_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_current_release")]

    def __str__(self) -> str:
        return self.release
