"""The one place that writes to the ledger."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from apps.billing.arithmetic import NOTHING
from apps.billing.models import Customer, Entry, Payment, Refund, Term


@dataclass
class LockedCustomer:
    """A customer whose row this transaction holds: the right to write what is theirs."""

    row: Customer


def lock_customer(pk: Any) -> LockedCustomer:
    """Wait for the customer's row, and hold it until the transaction ends."""
    return LockedCustomer(Customer.objects.select_for_update(no_key=True).get(pk=pk))


def post_entry(
    *,
    customer: LockedCustomer,
    kind: Entry.Kind,
    amount: Decimal,
    at: datetime,
    payment: Payment | None = None,
    refund: Refund | None = None,
    term: Term | None = None,
) -> Entry:
    """Write a line; moves the customer's balance, and the term's value where there is one.

    The term is written down as it is now: whoever changes its times does so before.
    """
    row = customer.row
    amount += NOTHING  # there is a negative zero as well
    before = Entry.objects.filter(customer=row, number=row.entries).first()
    row.balance += amount
    row.entries += 1
    if term is not None:
        term.value += amount
        term.save()
    entry = Entry(
        customer=row,
        number=row.entries,
        kind=kind,
        amount=amount,
        balance=row.balance,
        payment=payment,
        refund=refund,
        term=term,
        version=term.version if term else None,
        begins=term.begins if term else None,
        ends=term.ends if term else None,
        at=at,
    )
    entry.digest = digest_of(entry, before.digest if before else "")
    entry.save(force_insert=True)
    row.save(update_fields=["balance", "entries"])
    return entry


def digest_of(entry: Entry, before: str) -> str:
    """SHA-256 over the digest before and every field, so that no line changes alone."""
    fields = (
        before,
        entry.customer_id,
        entry.number,
        entry.kind,
        f"{entry.amount:.2f}",
        f"{entry.balance:.2f}",
        entry.payment_id,
        entry.refund_id,
        entry.term_id,
        entry.version_id,
        _time(entry.begins),
        _time(entry.ends),
        _time(entry.at),
    )
    text = "|".join("" if field is None else str(field) for field in fields)
    return sha256(text.encode()).hexdigest()


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds")
