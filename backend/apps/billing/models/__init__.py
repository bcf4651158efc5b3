"""The rows of billing; docs/BILLING.md says how they hang together."""

from apps.billing.models.catalogue import Plan, PlanVersion
from apps.billing.models.customers import Customer, PaymentMethod
from apps.billing.models.findings import Finding
from apps.billing.models.ledger import Entry
from apps.billing.models.notifications import Notification
from apps.billing.models.payments import Payment, Refund
from apps.billing.models.subscriptions import Subscription, Term

__all__ = [
    "Customer",
    "Entry",
    "Finding",
    "Notification",
    "Payment",
    "PaymentMethod",
    "Plan",
    "PlanVersion",
    "Refund",
    "Subscription",
    "Term",
]
