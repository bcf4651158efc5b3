"""What is on the plate: a request to recognise it, and what the model said."""

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.jobs.models import Job
from apps.nutrition.models import Meal, Nutrients, quantity

TEXT_LIMIT = 2000


class Recognition(Job):
    """A line of text to be recognised; accepted, it becomes a meal."""

    task = "apps.ai.tasks.recognize"
    lease = timedelta(seconds=240)
    keep = None

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="recognitions")
    text = models.CharField(max_length=TEXT_LIMIT)
    language = models.CharField(max_length=2)
    provider = models.CharField(max_length=32, blank=True)
    notes = models.TextField(blank=True)
    meal = models.OneToOneField(Meal, models.SET_NULL, null=True, related_name="recognition")


class RecognizedItem(Nutrients):
    """A line of what the model said. Nutrients are those of `grams`."""

    recognition = models.ForeignKey(Recognition, models.CASCADE, related_name="items")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=255)
    grams = quantity()
    confidence = models.DecimalField(max_digits=3, decimal_places=2)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return self.name


class Photo(models.Model):
    """One of a recognition's pictures. The file goes when it is old; the row says that it was."""

    recognition = models.ForeignKey(Recognition, models.CASCADE, related_name="photos")
    # From 1.
    position = models.PositiveSmallIntegerField()
    # Of the file in the storage, which is there before the row is.
    key = models.CharField(max_length=64, unique=True)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["recognition", "position"], name="photo_has_its_own_position"
            )
        ]
        indexes = [
            models.Index(
                fields=["created_at"], name="photo_not_deleted", condition=Q(deleted_at=None)
            )
        ]

    def __str__(self) -> str:
        return self.key
