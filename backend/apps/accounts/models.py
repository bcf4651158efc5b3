"""Who: people known by their Telegram id, and staff with a password."""

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.jobs.models import Job


class UserManager(BaseUserManager["User"]):
    def create_superuser(self, username: str, password: str, **fields: Any) -> "User":
        user = self.model(username=username, is_staff=True, is_superuser=True, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class Sex(models.TextChoices):
    MALE = "male"
    FEMALE = "female"


class Activity(models.TextChoices):
    SEDENTARY = "sedentary"
    LIGHT = "light"
    MODERATE = "moderate"
    ACTIVE = "active"
    VERY_ACTIVE = "very_active"


class Goal(models.TextChoices):
    LOSE = "lose"
    KEEP = "keep"
    GAIN = "gain"


class User(AbstractBaseUser, PermissionsMixin):
    """A person. Eaters have a `telegram_id`, staff a `username`; somebody may have both.

    What their body is like is theirs to say or not; their weight has a table of its own.
    """

    # Telegram's ids have up to 52 bits.
    telegram_id = models.BigIntegerField(unique=True, null=True)
    username = models.CharField(max_length=64, unique=True, null=True)  # noqa: DJ001 (unique where there)
    first_name = models.CharField(max_length=255, blank=True)
    language = models.CharField(
        max_length=2, choices=[("ru", "Русский"), ("en", "English")], default="ru"
    )
    time_zone = models.CharField(max_length=64, default="Europe/Moscow")
    sex = models.CharField(max_length=6, choices=Sex, blank=True, default="", db_default="")
    birth_year = models.PositiveSmallIntegerField(null=True)
    height_cm = models.DecimalField(max_digits=4, decimal_places=1, null=True)
    activity = models.CharField(
        max_length=16, choices=Activity, default=Activity.SEDENTARY, db_default=Activity.SEDENTARY
    )
    goal = models.CharField(max_length=4, choices=Goal, default=Goal.KEEP, db_default=Goal.KEEP)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = UserManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.username or f"telegram:{self.telegram_id}"


class Session(models.Model):
    """A login. What was issued for it is believed while this row is there."""

    # Random, so that a restored database never gives an old token another's row.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="sessions")
    # How often it was refreshed: only the newest refresh token has this number.
    turn = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    refreshed_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["refreshed_at"], name="session_refreshed_at")]

    def __str__(self) -> str:
        return f"session {self.pk}"


class Weight(models.Model):
    """What a person weighed on a day of their calendar; the latest word on a day is kept."""

    user = models.ForeignKey(User, models.CASCADE, related_name="weights")
    date = models.DateField()
    kg = models.DecimalField(max_digits=5, decimal_places=2)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "date"], name="one_weight_a_day")]

    def __str__(self) -> str:
        return f"{self.date}: {self.kg} kg"


class Export(Job):
    """One file of everything that is kept about a person, made when they ask for it."""

    task = "apps.accounts.tasks.export_account"
    keep = timedelta(days=7)

    user = models.ForeignKey(User, models.CASCADE, related_name="exports")
    # JSON; null until it is done.
    document = models.TextField(null=True)  # noqa: DJ001 (an empty file is no file)

    class Meta(Job.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["user"],
                name="one_open_export",
                condition=Q(status__in=["pending", "running"]),
            )
        ]


class Deletion(Job):
    """A person is to be forgotten. The row outlives them, and so has only their number."""

    task = "apps.accounts.tasks.delete_account"
    tries = 10
    backoff = timedelta(seconds=30)

    person = models.BigIntegerField(unique=True)
