"""Rebuild everything from the ledger, and say where what is stored differs."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Prefetch, QuerySet, Sum

from apps.billing.arithmetic import NOTHING
from apps.billing.ledger import digest_of
from apps.billing.models import Customer, Entry, Payment, Refund, Subscription, Term


@dataclass
class RebuiltTerm:
    """A term as its entries leave it."""

    version: int | None
    begins: datetime | None
    ends: datetime | None
    value: Decimal = NOTHING


def audit() -> Iterator[str]:
    """Every difference between the ledger and the rest, of one moment."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield from _payments()
        yield from _refunds()
        for customer in _with_what_is_theirs().iterator(chunk_size=500):
            yield from _customer(customer)


def _with_what_is_theirs() -> QuerySet[Customer]:
    """Read for many customers at once: six questions each would take hours."""
    roubles = Payment.objects.filter(
        state=Payment.State.SUCCEEDED, kind__in=(Payment.Kind.TRIAL, Payment.Kind.BINDING)
    ).prefetch_related("refunds")
    return (
        Customer.objects.order_by("pk")
        .select_related("subscription")
        .prefetch_related(
            Prefetch("ledger", Entry.objects.order_by("number")),
            "subscription__terms",
            Prefetch("payments", roubles, to_attr="roubles_taken"),
        )
    )


def _payments() -> Iterator[str]:
    charged = dict(Entry.objects.filter(kind=Entry.Kind.CHARGED).values_list("payment", "amount"))
    for payment in Payment.objects.filter(state=Payment.State.SUCCEEDED).iterator():
        amount = charged.pop(payment.pk, NOTHING)
        if amount != payment.amount:
            yield f"payment {payment.pk}: {payment.amount} was paid, {amount} is in the ledger"
    for pk, amount in charged.items():
        yield f"payment {pk}: {amount} is in the ledger, but it was not paid"


def _refunds() -> Iterator[str]:
    booked = dict(Entry.objects.filter(kind=Entry.Kind.REFUNDED).values_list("refund", "amount"))
    for refund in Refund.objects.filter(state=Refund.State.SUCCEEDED).iterator():
        amount = -booked.pop(refund.pk, NOTHING)
        if amount != refund.amount:
            yield f"refund {refund.pk}: {refund.amount} was given back, {amount} is in the ledger"
    for pk, amount in booked.items():
        yield f"refund {pk}: {-amount} is in the ledger, but it was not given back"
    open_or_done = (Refund.State.PENDING, Refund.State.SUCCEEDED)
    sums: dict[UUID, Decimal] = dict(
        Refund.objects.filter(state__in=open_or_done)
        .values_list("payment")
        .annotate(sum=Sum("amount"))
    )
    for pk, refunding in Payment.objects.exclude(refunding=0).values_list("pk", "refunding"):
        if sums.pop(pk, NOTHING) != refunding:
            yield f"payment {pk}: {refunding} is noted as refunded, its refunds say otherwise"
    for pk in sums:
        yield f"payment {pk}: has refunds, but none is noted"


def _customer(customer: Customer) -> Iterator[str]:
    name = f"customer {customer.pk}"
    balance, digest, number = NOTHING, "", 0
    terms: dict[UUID, RebuiltTerm] = {}
    for entry in customer.ledger.all():
        number += 1
        balance += entry.amount
        if entry.number != number:
            yield f"{name}: entry {number} is missing, {entry.number} is there"
            number = entry.number
        if entry.balance != balance:
            yield f"{name}: entry {number} says {entry.balance}, the sum is {balance}"
        if entry.digest != digest_of(entry, digest):
            yield f"{name}: entry {number} is not as it was written"
        digest = entry.digest
        if entry.term_id is not None:
            term = terms.setdefault(entry.term_id, RebuiltTerm(None, None, None))
            term.version, term.begins, term.ends = entry.version_id, entry.begins, entry.ends
            term.value += entry.amount
    if customer.entries != number:
        yield f"{name}: {customer.entries} entries were written, {number} are there"
    if customer.balance != balance:
        yield f"{name}: the balance is {customer.balance}, the ledger says {balance}"
    yield from _terms(customer, terms, balance)


def _terms(customer: Customer, rebuilt: dict[UUID, RebuiltTerm], balance: Decimal) -> Iterator[str]:
    subscription: Subscription | None = getattr(customer, "subscription", None)
    stored = {term.pk: term for term in subscription.terms.all()} if subscription else {}
    for pk in stored.keys() | rebuilt.keys():
        term, again = stored.get(pk), rebuilt.get(pk)
        if term is None or again is None:
            where = "ledger" if term is None else "table of terms"
            yield f"term {pk}: is in the {where} alone"
            continue
        pairs: dict[str, tuple[Any, Any]] = {
            "version": (term.version_id, again.version),
            "begin": (term.begins, again.begins),
            "end": (term.ends, again.ends),
            "value": (term.value, again.value),
        }
        for field, (here, there) in pairs.items():
            if here != there:
                yield f"term {pk}: its {field} is {here}, the ledger says {there}"
    yield from _overlaps(stored)
    if subscription:
        yield from _subscription(subscription, rebuilt, stored)
    loose = balance - sum((term.value for term in rebuilt.values()), NOTHING)
    due = sum((_still_to_be_given_back(one) for one in customer.roubles_taken), NOTHING)  # type: ignore[attr-defined]
    if loose != due:
        yield f"customer {customer.pk}: {loose} lies on no term, {due} is still to be given back"


def _overlaps(terms: dict[UUID, Term]) -> Iterator[str]:
    by_subscription: dict[UUID, list[Term]] = defaultdict(list)
    for term in terms.values():
        if term.begins < term.ends:
            by_subscription[term.subscription_id].append(term)
    for several in by_subscription.values():
        several.sort(key=lambda term: term.begins)
        for one, next_one in pairwise(several):
            if one.ends > next_one.begins:
                yield f"terms {one.pk} and {next_one.pk} overlap"


def _subscription(
    subscription: Subscription, rebuilt: dict[UUID, RebuiltTerm], stored: dict[UUID, Term]
) -> Iterator[str]:
    ends = [
        term.ends
        for pk, term in rebuilt.items()
        if term.ends and pk in stored and stored[pk].moved_to_id is None
    ]
    if not ends or max(ends) != subscription.paid_until:
        until = max(ends, default=None)
        yield (
            f"subscription {subscription.pk}: is paid until {subscription.paid_until}, "
            f"the ledger says {until}"
        )


def _still_to_be_given_back(payment: Payment) -> Decimal:
    given_back = [
        refund.amount for refund in payment.refunds.all() if refund.state == Refund.State.SUCCEEDED
    ]
    left: Decimal = payment.amount - sum(given_back, NOTHING)
    return left
