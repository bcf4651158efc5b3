"""Sending somebody to the provider's page: to buy, to try, or to save a card."""

from datetime import timedelta
from decimal import Decimal
from functools import partial
from time import monotonic
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.billing.customers import open_customer
from apps.billing.gateway import is_configured
from apps.billing.ledger import LockedCustomer, lock_customer
from apps.billing.models import Payment, PlanVersion
from apps.billing.plans import version_for_sale
from apps.billing.receipts import read_contact, receipts_are_sent
from apps.billing.settling import settle_payment
from apps.billing.subscriptions import subscription_of
from apps.jobs.services import bring_forward, claim_job, submit_claimed_job
from apps.jobs.worker import run_claimed_job

ROUBLE = Decimal("1.00")
# For all that a request asks: with it the request ends within 5 s, whatever the provider does.
PATIENCE_SECONDS = 4.5
# The provider's page is there for an hour.
PAGE_LIVES = timedelta(minutes=55)


class CheckoutRefused(Exception):
    """No payment was made; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def start_checkout(
    *,
    user: User,
    plan: str,
    trial: bool = False,
    automatic_renewal: bool = True,
    return_url: str = "",
    contact: str = "",
) -> Payment:
    """A payment for the plan, as it is sold now; asked for again while it is open, the same one.

    Its `confirmation_url` is empty where the provider did not answer in time; then a worker goes
    on asking. Raises CheckoutRefused, plans.UnknownPlan, receipts.NotAContact.
    """
    version = version_for_sale(code=plan)
    if trial and not version.trial_days:
        raise CheckoutRefused("no_trial")
    kind = Payment.Kind.TRIAL if trial else Payment.Kind.CHECKOUT
    return _start(
        user=user,
        kind=kind,
        version=version,
        amount=ROUBLE if trial else version.price,
        saves_method=trial or automatic_renewal,
        return_url=return_url,
        contact=contact,
    )


def start_binding(*, user: User, return_url: str = "", contact: str = "") -> Payment:
    """A payment of one rouble, given back at once, that saves a card; otherwise as a checkout."""
    return _start(
        user=user,
        kind=Payment.Kind.BINDING,
        version=None,
        amount=ROUBLE,
        saves_method=True,
        return_url=return_url,
        contact=contact,
    )


def _start(
    *,
    user: User,
    kind: Payment.Kind,
    version: PlanVersion | None,
    amount: Decimal,
    saves_method: bool,
    return_url: str,
    contact: str,
) -> Payment:
    if not is_configured():
        raise CheckoutRefused("not_configured")
    return_url = own_address(return_url)
    contact = read_contact(contact) if contact else ""
    gives_up = monotonic() + PATIENCE_SECONDS
    customer = open_customer(user=user)
    earlier = _open_one(customer.pk, kind, version)
    if earlier is not None and timezone.now() - earlier.asked_at > PAGE_LIVES:
        _look_again(earlier, gives_up)  # its page may be gone
    with transaction.atomic():
        locked = lock_customer(customer.pk)
        _take_contact(locked, contact)
        earlier = _open_one(customer.pk, kind, version)
        if earlier is not None:
            return earlier
        _refuse_what_makes_no_sense(locked, kind)
        payment = submit_claimed_job(
            job=Payment(
                customer=locked.row,
                kind=kind,
                version=version,
                amount=amount,
                saves_method=saves_method,
                return_url=return_url,
                contact=locked.row.contact,
                asked_at=timezone.now(),
            )
        )
    _ask_until(gives_up, payment)
    payment.refresh_from_db()
    return payment


def _open_one(customer: UUID, kind: Payment.Kind, version: PlanVersion | None) -> Payment | None:
    return Payment.objects.filter(
        customer=customer, kind=kind, version=version, state=Payment.State.PENDING
    ).first()


def _look_again(payment: Payment, gives_up: float) -> None:
    bring_forward(job=payment)
    claimed = claim_job(model=Payment, pk=payment.pk)
    if claimed is not None:
        _ask_until(gives_up, claimed)


def _ask_until(gives_up: float, payment: Payment) -> None:
    """Settle a claimed payment in the time that is left; a worker goes on where that is over."""
    left = timedelta(seconds=max(gives_up - monotonic(), 0))
    run_claimed_job(payment, partial(settle_payment, deadline=left))


def _take_contact(customer: LockedCustomer, contact: str) -> None:
    if contact and contact != customer.row.contact:
        customer.row.contact = contact
        customer.row.save(update_fields=["contact"])
    if receipts_are_sent() and not customer.row.contact:
        raise CheckoutRefused("contact_needed")


def _refuse_what_makes_no_sense(customer: LockedCustomer, kind: Payment.Kind) -> None:
    subscription = subscription_of(customer)
    if kind == Payment.Kind.TRIAL and subscription is not None:
        raise CheckoutRefused("trial_used")
    if kind == Payment.Kind.CHECKOUT and subscription is not None:
        charged = subscription.renewals.filter(state=Payment.State.PENDING, sent_at__isnull=False)
        if charged.exists():
            # Its outcome may be minutes away; paid besides, it would be paid twice.
            raise CheckoutRefused("charge_under_way")


def own_address(url: str) -> str:
    """Where people are sent back to: an address of ours, by default the product's page."""
    if not url:
        return f"{settings.PUBLIC_URL}/app"
    given, own = urlsplit(url), urlsplit(settings.PUBLIC_URL)
    if (given.scheme, given.netloc) != (own.scheme, own.netloc) or len(url) > 200:
        raise CheckoutRefused("foreign_return_url")
    return url
