"""A job with an effect outside that can be counted, and with ways to go wrong."""

from datetime import timedelta
from typing import Any

from django.db import models

from apps.jobs.models import Job


class Errand(Job):
    class Point(models.TextChoices):
        """Where a worker can die."""

        CLAIMED = "claimed"
        ANSWERED = "answered"
        COMMITTED = "committed"

    task = "tests.errands.tasks.run_errand"
    backoff = timedelta(milliseconds=200)

    queue = models.CharField(max_length=16, default="default")
    hold = models.FloatField(default=0.0)
    """Seconds that the outside takes to answer."""
    kill_at = models.CharField(max_length=16, choices=Point, blank=True)
    kills = models.PositiveIntegerField(default=0)
    """How many attempts end with the worker's death at `kill_at`."""
    lease_seconds = models.FloatField(default=3.0)
    grows = models.PositiveIntegerField(default=0)
    """Megabytes that the worker never gives back."""
    result = models.CharField(max_length=64, blank=True)

    @property
    def lease(self) -> timedelta:  # type: ignore[override]
        return timedelta(seconds=self.lease_seconds)

    def message_options(self) -> dict[str, Any]:
        return {"queue": self.queue, "routing_key": self.queue}


class Belonging(models.Model):
    """What a person left here. No foreign key: this app has no migrations to put one into."""

    person = models.BigIntegerField()
    what = models.CharField(max_length=64)
    kill_at = models.CharField(max_length=16, blank=True)
    kills = models.PositiveIntegerField(default=0)
