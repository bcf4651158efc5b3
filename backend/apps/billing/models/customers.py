"""Who pays, and with what."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.billing.models.fields import roubles


class Customer(models.Model):
    """A pseudonym: payments hang on it, and it says nothing of a person once they are gone.

    Its row is the lock of everything that is the customer's. `balance` and `entries` repeat the
    end of their ledger, so that an end that was cut off shows.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="customer"
    )
    # Where receipts go: an e-mail address or a phone number.
    contact = models.CharField(max_length=254, blank=True)
    balance = roubles(default=0)
    entries = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(balance__gte=0), name="balance_not_negative")
        ]

    def __str__(self) -> str:
        return str(self.pk)


class PaymentMethod(models.Model):
    """A method that the provider saved and will charge again; forgotten, it keeps no name."""

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="methods")
    provider_id = models.CharField(max_length=64, blank=True)
    title = models.CharField(max_length=128, blank=True)
    bound_at = models.DateTimeField()
    unbound_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer"], condition=Q(unbound_at=None), name="one_method_bound"
            )
        ]

    def __str__(self) -> str:
        return f"method {self.pk}"
