"""What is on the plate: a request to recognise it, what the model said, and what that cost."""

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.jobs.models import Job
from apps.nutrition.models import Meal, Nutrients, quantity

TEXT_LIMIT = 2000
KEY_LIMIT = 255


class Recognition(Job):
    """A meal to be recognised; accepted, it becomes one of the diary."""

    class Outcome(models.TextChoices):
        """What a recognition that is done came to. Each is an answer, and none a fault."""

        RECOGNIZED = "recognized"
        UNSURE = "unsure"
        NOT_FOOD = "not_food"
        NOTHING_TO_COUNT = "nothing_to_count"

    task = "apps.ai.tasks.recognize"
    lease = timedelta(seconds=240)
    keep = None

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="recognitions")
    text = models.CharField(max_length=TEXT_LIMIT)
    language = models.CharField(max_length=2)
    # What was asked, in one value: the same picture and words again have the same.
    content = models.CharField(max_length=64, db_default="")
    idempotency_key = models.CharField(max_length=KEY_LIMIT, null=True)  # noqa: DJ001 (unique where there)
    # Whether it takes one from the quota, unless it fails: see apps.ai.quota.
    charged = models.BooleanField(db_default=True, default=True)
    provider = models.CharField(max_length=32, blank=True)
    model = models.CharField(max_length=128, blank=True, db_default="")
    outcome = models.CharField(max_length=16, choices=Outcome, blank=True, db_default="")
    notes = models.TextField(blank=True)
    meal = models.OneToOneField(Meal, models.SET_NULL, null=True, related_name="recognition")

    class Meta(Job.Meta):
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["user", "created_at"], name="recognition_user_created"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "idempotency_key"], name="recognition_key_is_the_users_once"
            )
        ]

    def lines(self) -> "list[RecognizedItem] | list[CorrectedItem]":
        """What is on the plate: as corrected, where it was, else as the model said."""
        return list(self.corrections.all()) or list(self.items.all())


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


class CorrectedItem(Nutrients):
    """A line of what it really was, by its eater; beside what the model said, not instead of it."""

    recognition = models.ForeignKey(Recognition, models.CASCADE, related_name="corrections")
    # What it corrects; none where the model had overlooked it.
    item = models.ForeignKey(RecognizedItem, models.CASCADE, null=True, related_name="+")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=255)
    grams = quantity()

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


class ProviderCall(models.Model):
    """One request to a model. It outlives the recognition: money was spent."""

    recognition = models.ForeignKey(
        Recognition, models.SET_NULL, null=True, related_name="provider_calls"
    )
    created_at = models.DateTimeField(db_default=Now(), db_index=True)
    model = models.CharField(max_length=128)
    # "answered", or the code of what went wrong.
    outcome = models.CharField(max_length=64)
    milliseconds = models.PositiveIntegerField()
    # None: we were not told.
    prompt_tokens = models.PositiveIntegerField(null=True)
    completion_tokens = models.PositiveIntegerField(null=True)
    cost_usd = models.DecimalField(max_digits=11, decimal_places=8, null=True)
    generation = models.CharField(max_length=128, blank=True)

    def __str__(self) -> str:
        return f"{self.model}: {self.outcome}"


class Circuit(models.Model):
    """Failures of a provider in a row, and until when it is left alone for them."""

    name = models.CharField(max_length=32, primary_key=True)
    failures = models.PositiveIntegerField(default=0)
    open_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
