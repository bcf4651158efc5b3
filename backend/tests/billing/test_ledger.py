"""What the database refuses, and what the audit finds where somebody got round it."""

from datetime import timedelta
from decimal import Decimal
from io import StringIO
from math import ceil
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from apps.accounts.models import User
from apps.billing.audit import audit
from apps.billing.models import Customer, Entry, Payment, PlanVersion, Subscription, Term
from tests.billing.shop import Shop, subscription_of
from tests.http import make_user


def execute(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        # What is deferred to the commit would forbid TRUNCATE before any trigger does.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_entry SET amount = 1",
        "DELETE FROM billing_entry",
        "TRUNCATE billing_entry",
        "TRUNCATE billing_customer CASCADE",
        "UPDATE billing_planversion SET price = 1 WHERE price > 0",
        "DELETE FROM billing_planversion",
    ],
)
def test_what_was_written_stays_written(shop: Shop, user: User, statement: str) -> None:
    """By nobody, not even a superuser; what the application may, test_startup.py asks."""
    shop.buy(user)
    before = list(Entry.objects.values()), list(PlanVersion.objects.values())
    with pytest.raises(DatabaseError) as refused:
        execute(statement)
    assert "only ever added" in str(refused.value)
    assert (list(Entry.objects.values()), list(PlanVersion.objects.values())) == before


@pytest.fixture
def history(shop: Shop, user: User) -> Shop:
    """A customer who bought, renewed, changed and had something back."""
    from apps.billing.refunds import request_refund

    shop.buy(user)
    shop.live(timedelta(days=40))
    year = shop.buy(user, "year")
    request_refund(payment_id=year.pk, amount=Decimal("100.00"), why="asked", by="anna")
    shop.live(timedelta(days=1))
    assert list(audit()) == []
    return shop


def tampered(statement: str) -> list[str]:
    """What the audit says after somebody with all rights has done that."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(statement)
        cursor.execute("SET session_replication_role = DEFAULT")
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("billing_audit", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines == list(audit())
    return lines


ALL = Decimal("299.00")
LAST = "(SELECT max(id) FROM billing_entry)"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE billing_entry SET amount = 1 WHERE number = 1", "not as it was written"),
        ("UPDATE billing_entry SET at = at + interval '1 s' WHERE number = 2", "not as it was"),
        ("UPDATE billing_entry SET kind = 'expired' WHERE number = 1", "0.00 is in the ledger"),
        ("DELETE FROM billing_entry WHERE number = 2", "entry 2 is missing"),
        (f"DELETE FROM billing_entry WHERE id = {LAST}", "entries were written"),
        (f"UPDATE billing_entry SET balance = 0 WHERE id = {LAST}", "the sum is"),
        ("UPDATE billing_customer SET balance = balance + 1", "the balance is"),
        ("UPDATE billing_term SET ends = ends + interval '1 day'", "its end is"),
        ("UPDATE billing_term SET value = value + 1", "its value is"),
        ("UPDATE billing_subscription SET paid_until = now() - '9 y'::interval", "is paid until"),
        ("UPDATE billing_payment SET state = 'canceled' WHERE kind = 'checkout'", "was not paid"),
        ("UPDATE billing_payment SET amount = amount + 1 WHERE kind = 'renewal'", "was paid"),
        ("UPDATE billing_payment SET refunding = 5 WHERE refunding > 0", "noted as refunded"),
        ("UPDATE billing_refund SET state = 'canceled'", "was not given back"),
        ("DELETE FROM billing_term WHERE value > 0", "in the ledger alone"),
    ],
)  # fmt: skip
def test_the_audit_finds_what_was_tampered_with(history: Shop, statement: str, words: str) -> None:
    assert any(words in line for line in tampered(statement))


def test_an_audit_that_finds_nothing_says_so(history: Shop) -> None:
    out = StringIO()
    call_command("billing_audit", stdout=out)
    assert "agree" in out.getvalue()


def test_an_inserted_entry_is_found(history: Shop, user: User) -> None:
    customer = Customer.objects.get(user=user)
    Entry.objects.create(
        customer=customer,
        number=customer.entries + 1,
        kind="credited",
        amount=1000,
        balance=customer.balance + 1000,
        at=history.now,
        digest="0" * 64,
    )
    lines = list(audit())
    assert any("not as it was written" in line for line in lines)
    assert any("the ledger says" in line for line in lines)


def test_a_change_of_plan_is_credited_by_days(shop: Shop, user: User) -> None:
    """The example of docs/BILLING.md: 299.00 for 31 days, 16 of them left."""
    month = shop.buy(user)
    until = month.term.ends
    shop.pass_time(until - timedelta(days=16) - shop.now)
    asked = shop.check_out(user, "year").json()
    shop.pay(asked["id"])
    shop.work()
    shop.pass_time(timedelta(seconds=5))
    shop.work()
    year = Term.objects.get(version__plan="year")
    month.term.refresh_from_db()
    assert month.term.moved_to == year
    length = until - month.term.begins
    entries = Entry.objects.filter(kind="credited", term=year)
    (credited,) = entries.values_list("amount", flat=True)
    share = Decimal((until - month.term.ends).total_seconds()) / Decimal(length.total_seconds())
    assert credited == (ALL * share).quantize(Decimal("0.01"))
    extra = ceil(credited * 365 / Decimal("2990.00"))
    assert year.ends - year.begins == timedelta(days=365 + extra)
    assert subscription_of(user).paid_until == year.ends
    assert Customer.objects.get(user=user).balance == year.value == Decimal("2990.00") + credited
    assert Subscription.objects.get().state == "active"
    assert Payment.objects.filter(state="succeeded").count() == 2
    assert list(audit()) == []


def test_the_audit_of_many_asks_no_more_often(
    shop: Shop, django_assert_max_num_queries: Any
) -> None:
    for _ in range(6):
        shop.buy(make_user(), trial=True)
    with django_assert_max_num_queries(16):
        assert list(audit()) == []
