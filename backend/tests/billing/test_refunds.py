"""Money back: whole, in parts, twice at once, and what it does to time."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from apps.accounts.models import User
from apps.billing.audit import audit
from apps.billing.models import Entry, Finding, Payment, Refund
from apps.billing.queries import allowance_of
from apps.billing.refunds import NotRefundable, request_refund
from tests.billing.shop import Shop, subscription_of
from tests.http import at_once, make_user

ALL = Decimal("299.00")


def refund(payment: Payment, amount: str | Decimal = ALL) -> Refund:
    return request_refund(
        payment_id=payment.pk, amount=Decimal(amount), why="did not like it", by="anna"
    )


def test_all_of_it_ends_the_subscription_and_what_it_would_charge(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    refund(payment)
    shop.live(timedelta(minutes=1))
    assert (shop.earned(), subscription_of(user).state) == (0, "expired")
    assert allowance_of(user=user).plan == "free"
    shop.live(timedelta(days=40))
    assert Payment.objects.count() == 1
    assert [entry.kind for entry in Entry.objects.order_by("number")] == ["charged", "refunded"]
    assert list(audit()) == []


def test_a_part_takes_the_same_share_of_the_time(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    term = payment.term
    length = term.ends - term.begins
    refund(payment, "99.67")
    shop.live(timedelta(minutes=1))
    term.refresh_from_db()
    cut = term.begins + length - term.ends
    assert abs(cut - length * 9967 / 29900) < timedelta(milliseconds=1)
    assert subscription_of(user).paid_until == term.ends
    assert list(audit()) == []


def test_time_that_has_passed_is_not_taken_back(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    shop.live(timedelta(days=20))
    refund(payment, "250.00")
    shop.live(timedelta(minutes=1))
    payment.term.refresh_from_db()
    assert timedelta() <= shop.now - payment.term.ends < timedelta(minutes=2)
    assert payment.term.value == 0, "what is left of it was delivered"
    assert list(audit()) == []


def test_what_follows_moves_up(shop: Shop, user: User) -> None:
    first, second = shop.buy(user), shop.buy(user)
    until = subscription_of(user).paid_until
    refund(first)
    shop.live(timedelta(minutes=1))
    first.term.refresh_from_db()
    second.term.refresh_from_db()
    assert first.term.ends == second.term.begins
    assert subscription_of(user).paid_until == second.term.ends < until - timedelta(days=30)
    assert allowance_of(user=user).plan == "month"
    assert list(audit()) == []


def test_what_was_used_up_is_given_back_out_of_goodwill(shop: Shop, user: User) -> None:
    payment = shop.buy(user, automatic_renewal=False)
    shop.live(timedelta(days=40))
    refund(payment, "100.00")
    shop.live(timedelta(minutes=1))
    kinds = [(entry.kind, entry.amount) for entry in Entry.objects.order_by("number")]
    assert kinds == [
        ("charged", ALL),
        ("expired", -ALL),
        ("credited", Decimal("100.00")),
        ("refunded", Decimal("-100.00")),
    ]
    assert list(audit()) == []


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("299.01", "more_than_paid"),
        ("0.00", "not_an_amount"),
        ("-1.00", "not_an_amount"),
        ("1.005", "not_an_amount"),
    ],
)
def test_what_cannot_be_refunded_is_not(shop: Shop, user: User, amount: str, code: str) -> None:
    payment = shop.buy(user)
    with pytest.raises(NotRefundable) as refused:
        refund(payment, amount)
    assert refused.value.code == code
    assert not Refund.objects.exists()


def test_what_was_not_paid_is_not_refunded(shop: Shop, user: User) -> None:
    pk = shop.check_out(user).json()["id"]
    with pytest.raises(NotRefundable):
        refund(Payment.objects.get(pk=pk))


def test_the_database_refuses_more_than_was_paid(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.filter(pk=payment.pk).update(refunding=Decimal("299.01"))


def test_a_pending_one_is_polled_until_it_ends(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    shop.refunds(pending=True)
    refund(payment)
    shop.live(timedelta(hours=2))
    (booked,) = shop.books()["payments"][0]["refunds"]
    assert Refund.objects.get().state == "pending"
    assert allowance_of(user=user).plan == "month", "it is taken back when the money is"
    shop._direct(f"/_settle/{booked['id']}", {})
    shop.live(timedelta(hours=2))
    assert Refund.objects.get().state == "succeeded"
    assert allowance_of(user=user).plan == "free"


def test_one_that_fails_is_told_and_may_be_asked_for_again(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    shop.refunds(reason="general_decline")
    refund(payment)
    shop.live(timedelta(minutes=5))
    assert Refund.objects.get().state == "canceled"
    assert Finding.objects.get().kind == "refund_failed"
    assert shop.earned() == ALL
    assert allowance_of(user=user).plan == "month"
    shop.refunds()
    refund(payment)
    shop.live(timedelta(minutes=5))
    assert shop.earned() == 0
    assert list(audit()) == []


@pytest.mark.parametrize("heard", [True, False])
def test_an_answer_that_is_lost_refunds_once(shop: Shop, user: User, heard: bool) -> None:
    payment = shop.buy(user)
    shop.fault("timeout", heard=heard, times=3)
    refund(payment, "100.00")
    shop.live(timedelta(hours=1))
    assert shop.earned() == Decimal("199.00")
    assert Refund.objects.get().state == "succeeded"


def test_one_made_at_the_provider_is_learnt_by_its_notification(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    made = shop.gateway.create_refund(_new_refund(payment, "50.00"), key="made-in-the-cabinet")
    shop.notify("refund.succeeded", made.id)
    shop.live(timedelta(minutes=5))
    (known,) = Refund.objects.all()
    assert (known.amount, known.asked_by) == (Decimal("50.00"), "provider")
    assert known.state == "succeeded"
    shop.notify("refund.succeeded", made.id)
    shop.live(timedelta(minutes=5))
    assert Refund.objects.count() == 1
    assert list(audit()) == []


def test_one_of_a_payment_that_is_not_ours_is_a_finding(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    made = shop.gateway.create_refund(_new_refund(payment, "50.00"), key="elsewhere")
    Payment.objects.filter(pk=payment.pk).update(provider_id="another")
    shop.notify("refund.succeeded", made.id)
    shop.live(timedelta(minutes=5))
    assert not Refund.objects.exists()
    assert Finding.objects.filter(kind="unknown_refund").count() == 1


def _new_refund(payment: Payment, amount: str) -> Any:
    from apps.billing.gateway import NewRefund

    payment.refresh_from_db()
    return NewRefund(payment=str(payment.provider_id), amount=Decimal(amount))


@pytest.mark.django_db(transaction=True)
def test_asked_for_many_times_at_once_never_more_than_paid() -> None:
    from apps.billing.models import Customer

    customer = Customer.objects.create(user=make_user())
    payment = Payment.objects.create(
        customer=customer,
        kind="binding",
        state="succeeded",
        status="done",
        amount=ALL,
        asked_at="2026-01-01T00:00Z",
    )

    def ask() -> bool:
        try:
            refund(payment, "100.00")
        except NotRefundable:
            return False
        return True

    assert sorted(at_once(6, ask)) == [False] * 4 + [True] * 2
    payment.refresh_from_db()
    assert payment.refunding == Decimal("200.00")
