"""What is sold."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.billing.models.fields import roubles


class Plan(models.Model):
    """Something one can have; what it costs and gives is said by its newest version."""

    code = models.CharField(primary_key=True, max_length=16)

    def __str__(self) -> str:
        return self.code


class PlanVersion(models.Model):
    """What a plan costs and gives from one moment on. The database refuses to change a row.

    A price of nothing is the free plan, which is never bought.
    """

    plan = models.ForeignKey(Plan, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    price = roubles()
    # The length of a period that is bought; nothing for the free plan.
    months = models.PositiveSmallIntegerField()
    # Recognitions a month.
    recognitions = models.PositiveIntegerField()
    trial_days = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "number"], name="plan_version_number_once"),
            models.CheckConstraint(condition=Q(price__gte=0), name="plan_price_not_negative"),
            models.CheckConstraint(
                condition=Q(price=0, months=0, trial_days=0) | Q(price__gte=1, months__gte=1),
                name="plan_is_free_or_sold",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan_id} {self.number}"
