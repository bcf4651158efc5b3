"""The ledger: what was written stays written, by the database's own rules."""

from django.db import models

from apps.billing.models.catalogue import PlanVersion
from apps.billing.models.customers import Customer
from apps.billing.models.fields import roubles
from apps.billing.models.payments import Payment, Refund
from apps.billing.models.subscriptions import Term


class Entry(models.Model):
    """One movement of a customer's roubles. Triggers refuse UPDATE, DELETE and TRUNCATE.

    `begins`, `ends` and `version` are the term's as this entry left it. `digest` is the SHA-256
    of the entry and of the digest before, see `apps.billing.ledger.digest_of`.
    """

    class Kind(models.TextChoices):
        CHARGED = "charged"
        REFUNDED = "refunded"
        CREDITED = "credited"
        EXPIRED = "expired"

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="ledger")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=8, choices=Kind)
    amount = roubles()
    balance = roubles()
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, related_name="entries")
    refund = models.ForeignKey(Refund, models.PROTECT, null=True, related_name="entries")
    term = models.ForeignKey(Term, models.PROTECT, null=True, related_name="entries")
    version = models.ForeignKey(PlanVersion, models.PROTECT, null=True, related_name="+")
    begins = models.DateTimeField(null=True)
    ends = models.DateTimeField(null=True)
    at = models.DateTimeField()
    digest = models.CharField(max_length=64)

    class Meta:
        verbose_name_plural = "entries"
        constraints = [
            models.UniqueConstraint(fields=["customer", "number"], name="entry_number_once"),
            models.UniqueConstraint(
                fields=["payment"], condition=models.Q(kind="charged"), name="payment_charged_once"
            ),
            models.UniqueConstraint(
                fields=["refund"], condition=models.Q(kind="refunded"), name="refund_booked_once"
            ),
        ]
        indexes = [models.Index(fields=["at"], name="entry_at")]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"
