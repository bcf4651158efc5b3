"""What does not add up."""

from django.db import models
from django.db.models.functions import Now


class Finding(models.Model):
    """Something that code must not mend by itself, until a person has settled it."""

    class Kind(models.TextChoices):
        UNKNOWN_PAYMENT = "unknown_payment"
        ABSENT_THERE = "absent_there"
        AMOUNT_DIFFERS = "amount_differs"
        STATE_DIFFERS = "state_differs"
        BELONGS_TO_ANOTHER = "belongs_to_another"
        SECOND_PAYMENT = "second_payment"
        PAID_TWICE = "paid_twice"
        TEST_PAYMENT = "test_payment"
        REFUND_DIFFERS = "refund_differs"
        UNKNOWN_REFUND = "unknown_refund"
        REFUND_FAILED = "refund_failed"
        PAID_WITHOUT_USER = "paid_without_user"

    kind = models.CharField(max_length=24, choices=Kind)
    # What it is about: an id of the provider's, or of ours.
    subject = models.CharField(max_length=64)
    detail = models.TextField()
    found_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True)
    settled_by = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "subject"], name="finding_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
