"""A job with an effect outside that can be counted, and with ways to go wrong."""

from datetime import timedelta

from django.db import models

from apps.jobs.models import Job


class Errand(Job):
    task = "tests.errands.tasks.run_errand"
    lease = timedelta(seconds=3)
    backoff = timedelta(milliseconds=200)

    hold = models.FloatField(default=0.0)
    """Seconds that the outside takes to answer."""
    kills_worker = models.BooleanField(default=False)
    result = models.CharField(max_length=64, blank=True)
