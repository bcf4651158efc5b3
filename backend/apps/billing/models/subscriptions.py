"""What somebody may have, and until when."""

import uuid

from django.db import models
from django.db.models import F, Q

from apps.billing.models.catalogue import PlanVersion
from apps.billing.models.customers import Customer
from apps.billing.models.fields import roubles


class Subscription(models.Model):
    """One a customer; it changes through `apps.billing.subscriptions` alone."""

    class State(models.TextChoices):
        TRIALING = "trialing"
        ACTIVE = "active"
        PAST_DUE = "past_due"
        CANCELED = "canceled"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.OneToOneField(Customer, models.PROTECT, related_name="subscription")
    state = models.CharField(max_length=8, choices=State)
    version = models.ForeignKey(PlanVersion, models.PROTECT, related_name="+")
    # What the next renewal is of, where that is something else.
    next_version = models.ForeignKey(PlanVersion, models.PROTECT, null=True, related_name="+")
    automatic_renewal = models.BooleanField()
    # The end of the last term; and the grace period's, where the subscription renews.
    paid_until = models.DateTimeField()
    served_until = models.DateTimeField()
    # The day of the month on which periods begin, though February may not have it.
    anchor_day = models.PositiveSmallIntegerField()
    # When the machine has something to do; null: only when something happens.
    next_at = models.DateTimeField(null=True)
    # When the state last became `expired`, for the digest.
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(served_until__gte=F("paid_until")), name="served_while_paid"
            )
        ]
        indexes = [models.Index(fields=["next_at"], name="subscription_next_at")]

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"


class Term(models.Model):
    """A stretch of time of one plan, and the roubles that lie on it until it is over.

    Terms of a subscription do not overlap. One that began and ends at the same moment was given
    up for another.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subscription = models.ForeignKey(Subscription, models.PROTECT, related_name="terms")
    version = models.ForeignKey(PlanVersion, models.PROTECT, related_name="terms")
    # What granted it: a payment of its price, or of the rouble of a trial.
    payment = models.OneToOneField("billing.Payment", models.PROTECT, related_name="term")
    begins = models.DateTimeField()
    ends = models.DateTimeField()
    value = roubles()
    # Where the value went when the plan was changed.
    moved_to = models.ForeignKey("self", models.PROTECT, null=True, related_name="moved_from")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends__gte=F("begins")), name="term_not_backwards"),
            models.CheckConstraint(condition=Q(value__gte=0), name="term_value_not_negative"),
        ]
        indexes = [
            models.Index(fields=["subscription", "begins"], name="term_of_subscription"),
            models.Index(fields=["ends"], name="term_to_expire", condition=Q(value__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.begins:%Y-%m-%d} to {self.ends:%Y-%m-%d}"
