"""Payments and refunds: each is the job of bringing it to its end at the provider."""

from django.db import models
from django.db.models import F, Q

from apps.billing.models.catalogue import PlanVersion
from apps.billing.models.customers import Customer, PaymentMethod
from apps.billing.models.fields import new_key, roubles
from apps.billing.models.subscriptions import Subscription
from apps.jobs.models import Job


class Payment(Job):
    """One payment. `state` is about money and only moves forward; `status` is the job's.

    The job waits at no cost of an attempt, so what uses attempts up is dying workers alone.
    """

    class Kind(models.TextChoices):
        CHECKOUT = "checkout"
        TRIAL = "trial"
        BINDING = "binding"
        RENEWAL = "renewal"

    class State(models.TextChoices):
        PENDING = "pending"
        GIVEN_UP = "given_up"
        SUCCEEDED = "succeeded"
        CANCELED = "canceled"

    FINAL = (State.SUCCEEDED, State.CANCELED)

    task = "apps.billing.tasks.settle_payment"
    tries = 10
    keep = None

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="payments")
    kind = models.CharField(max_length=8, choices=Kind)
    state = models.CharField(max_length=9, choices=State, default=State.PENDING)
    amount = roubles()
    # What of it is given back, or is about to be.
    refunding = roubles(default=0)
    # What is bought; nothing for a binding.
    version = models.ForeignKey(PlanVersion, models.PROTECT, null=True, related_name="+")
    idempotence_key = models.CharField(max_length=64, unique=True, default=new_key)
    # A kept provider's id is what makes an outcome known.
    provider_id = models.CharField(max_length=64, unique=True, null=True)  # noqa: DJ001
    return_url = models.CharField(max_length=200, blank=True)
    # Where its receipt goes. Kept with it, since the same key takes the same words.
    contact = models.CharField(max_length=254, blank=True)
    confirmation_url = models.TextField(blank=True)
    # Whether the provider is asked to save what is paid with.
    saves_method = models.BooleanField(default=False)
    # Why it was canceled: the provider's word, or ours.
    reason = models.CharField(max_length=64, blank=True)
    # A renewal's identity.
    subscription = models.ForeignKey(
        Subscription, models.PROTECT, null=True, related_name="renewals"
    )
    period = models.DateTimeField(null=True)
    attempt = models.PositiveSmallIntegerField(null=True)
    method = models.ForeignKey(PaymentMethod, models.PROTECT, null=True, related_name="+")
    asked_at = models.DateTimeField()
    # Committed before the provider is called for the first time.
    sent_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta(Job.Meta):
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_of_something"),
            models.CheckConstraint(
                condition=Q(refunding__gte=0, refunding__lte=F("amount")),
                name="never_refunded_more_than_paid",
            ),
            models.CheckConstraint(
                condition=~Q(kind="renewal")
                | Q(
                    subscription__isnull=False,
                    period__isnull=False,
                    attempt__isnull=False,
                    method__isnull=False,
                ),
                name="renewal_has_an_identity",
            ),
            models.UniqueConstraint(
                fields=["subscription", "period", "attempt"], name="renewal_attempted_once"
            ),
            models.UniqueConstraint(
                fields=["customer", "kind", "version"],
                condition=Q(state="pending") & ~Q(kind="renewal"),
                nulls_distinct=False,
                name="one_open_checkout",
            ),
            # Two charges for a subscription are never under way at once.
            models.UniqueConstraint(
                fields=["subscription"],
                condition=Q(state="pending", kind="renewal"),
                name="one_open_renewal",
            ),
        ]
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["customer", "asked_at"], name="payment_of_customer"),
            models.Index(fields=["settled_at"], name="payment_settled_at"),
        ]

    @property
    def is_final(self) -> bool:
        return self.state in self.FINAL


class Refund(Job):
    """Money given back, asked for by somebody for a reason."""

    class State(models.TextChoices):
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        CANCELED = "canceled"

    FINAL = (State.SUCCEEDED, State.CANCELED)

    task = "apps.billing.tasks.settle_refund"
    tries = 10
    keep = None

    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    state = models.CharField(max_length=9, choices=State, default=State.PENDING)
    amount = roubles()
    idempotence_key = models.CharField(max_length=64, unique=True, default=new_key)
    provider_id = models.CharField(max_length=64, unique=True, null=True)  # noqa: DJ001
    why = models.TextField()
    asked_by = models.CharField(max_length=64)
    # Why the provider would not.
    reason = models.CharField(max_length=64, blank=True)
    asked_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta(Job.Meta):
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_of_something")
        ]
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["settled_at"], name="refund_settled_at"),
        ]

    @property
    def is_final(self) -> bool:
        return self.state in self.FINAL
