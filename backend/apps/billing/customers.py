"""Who pays, what with, and where receipts go."""

from datetime import datetime

from apps.accounts.models import User
from apps.billing.gateway import PaymentMethod as ProviderMethod
from apps.billing.ledger import LockedCustomer
from apps.billing.models import Customer, PaymentMethod
from apps.billing.subscriptions import bound_method, forget_method


def open_customer(*, user: User) -> Customer:
    """The user's customer; made where there is none."""
    return Customer.objects.get_or_create(user=user)[0]


def keep_method(*, customer: LockedCustomer, found: ProviderMethod | None, at: datetime) -> bool:
    """Bind the method that was paid with, in place of another; whether one was to be had.

    Nothing is kept for somebody whose account is gone.
    """
    if found is None or not found.saved or customer.row.user_id is None:
        return False
    bound = bound_method(customer)
    if bound is not None and bound.provider_id == found.id:
        return True
    if bound is not None:
        forget_method(bound, at=at)
    PaymentMethod.objects.create(
        customer=customer.row, provider_id=found.id, title=found.title[:128], bound_at=at
    )
    return True
