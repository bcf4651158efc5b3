"""What the provider called out to us."""

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

from apps.jobs.models import Job


class Notification(Job):
    """A notification as it came, and the job of asking the provider what is true.

    The provider gives it no id of its own: it is the same as another of the same event and object.
    """

    task = "apps.billing.tasks.settle_notification"
    tries = 10
    keep = timedelta(days=90)

    event = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)
    body = models.TextField()
    sender = models.GenericIPAddressField()
    times = models.PositiveIntegerField(default=1)
    received_at = models.DateTimeField(db_default=Now())

    class Meta(Job.Meta):
        constraints = [
            models.UniqueConstraint(fields=["event", "object_id"], name="notification_once")
        ]
