"""What somebody would try who wants more than they paid for, and what an accountant would ask."""

from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.models import User
from apps.billing.audit import audit
from apps.billing.models import Entry, Finding, Payment, Refund, Subscription, Term
from apps.billing.payments import apply_payment
from apps.billing.queries import allowance_of
from apps.billing.reconciliation import reconcile
from apps.billing.refunds import NotRefundable, request_refund
from apps.billing.renewals import first_due
from apps.billing.settling import settle_payment
from apps.billing.subscriptions import turn_subscriptions
from apps.jobs.errors import NotYet
from apps.jobs.models import Job
from tests.billing.shop import ADDRESS, Shop, subscription_of
from tests.http import client_of, make_user

MONTH, YEAR = Decimal("299.00"), Decimal("2990.00")


def findings() -> list[str]:
    return list(Finding.objects.order_by("kind").values_list("kind", flat=True))


def held() -> Decimal:
    return Entry.objects.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


def come_due(shop: Shop, user: User) -> Payment:
    """The renewal's row is there, and no worker has looked at it."""
    shop.pass_time(first_due(subscription_of(user)) - shop.now + timedelta(seconds=1))
    turn_subscriptions()
    return Payment.objects.get(kind="renewal")


# More than was paid for


@pytest.mark.parametrize(("order", "days"), [(["month", "year"], 402), (["year", "month"], 341)])
def test_two_pages_that_are_both_paid_are_both_had(
    shop: Shop, user: User, order: list[str], days: int
) -> None:
    asked = {plan: shop.check_out(user, plan).json()["id"] for plan in ("month", "year")}
    for plan in order:
        shop.pay(asked[plan])
        shop.notify("payment.succeeded", shop.provider_id(asked[plan]))
        shop.work()
    assert Payment.objects.filter(state="succeeded").count() == 2
    assert shop.earned() == held() == MONTH + YEAR
    left = Term.objects.filter(moved_to=None).aggregate(sum=Sum("value"))["sum"]
    assert left == MONTH + YEAR, "what was left of the first went to the second"
    assert subscription_of(user).version.plan_id == order[-1]
    # 365 days and the 37 that 299.00 are of a year, or 31 and the 310 that 2,990.00 are of months.
    assert subscription_of(user).paid_until - shop.now == timedelta(days=days)
    assert list(audit()) == []


def test_months_bought_ahead_are_credited_whole(shop: Shop, user: User) -> None:
    first, ahead = shop.buy(user), shop.buy(user)
    shop.buy(user, "year")
    first.term.refresh_from_db()
    ahead.term.refresh_from_db()
    assert (ahead.term.value, ahead.term.ends) == (0, ahead.term.begins), "it never began"
    year = Term.objects.get(version__plan="year")
    assert first.term.ends == year.begins
    credit = year.value - YEAR
    used = first.term.entries.filter(kind="expired").aggregate(sum=Sum("amount"))["sum"]
    assert credit == 2 * MONTH + used
    assert held() == YEAR + credit
    assert subscription_of(user).paid_until == year.ends
    assert list(audit()) == []


def test_a_price_that_rose_meanwhile_is_the_one_that_was_asked(shop: Shop, user: User) -> None:
    asked = shop.check_out(user).json()
    call_command("plans", "add", "month", "--price=399", "--months=1", "--recognitions=700")
    shop.pay(asked["id"])
    shop.live(timedelta(minutes=1))
    assert shop.earned() == MONTH
    assert allowance_of(user=user).recognitions == 600
    assert subscription_of(user).version.price == MONTH
    assert list(audit()) == []


def test_somebody_elses_payment_pays_for_its_owner_alone(shop: Shop, user: User) -> None:
    other = make_user()
    mine, theirs = shop.check_out(user).json()["id"], shop.check_out(other).json()["id"]
    shop.pay(theirs)
    there = shop.provider_id(theirs)
    # Whatever it says besides, its id is what is looked up.
    shop.notify("payment.succeeded", there, metadata={"payment": mine}, status="succeeded")
    shop.work()
    assert Payment.objects.get(pk=mine).state == "pending"
    assert allowance_of(user=user).plan == "free"
    assert allowance_of(user=other).plan == "month"


def test_many_trials_open_at_once_are_one_trial(shop: Shop, user: User) -> None:
    first = shop.check_out(user, trial=True).json()["id"]
    call_command(
        *("plans", "add", "month", "--price=399", "--months=1"),
        *("--recognitions=700", "--trial-days=7"),
    )
    second = shop.check_out(user, trial=True).json()["id"]
    assert first != second
    for pk in (first, second):
        shop.pay(pk)
    shop.live(timedelta(hours=1))
    assert Term.objects.count() == 1
    assert shop.earned() == held() == 0
    assert list(audit()) == []


def test_whoever_pays_on_the_page_is_not_charged_besides(shop: Shop, user: User) -> None:
    """The charge was due, and its worker late; meanwhile the person went to pay."""
    shop.buy(user)
    renewal = come_due(shop, user)
    page = shop.check_out(user).json()["id"]
    shop.work(rounds=1)
    renewal.refresh_from_db()
    assert (renewal.state, renewal.reason) == ("given_up", "not_wanted")
    shop.pay(page)
    shop.live(timedelta(days=2))
    assert shop.earned() == 2 * MONTH
    assert list(audit()) == []


def test_a_page_that_is_not_paid_puts_the_charge_off_and_no_more(shop: Shop, user: User) -> None:
    shop.buy(user)
    come_due(shop, user)
    shop.check_out(user)
    shop.live(timedelta(hours=3))
    states = Payment.objects.filter(kind="renewal").order_by("attempt").values_list("state")
    assert [state for (state,) in states] == ["given_up", "succeeded"]
    assert subscription_of(user).state == "active"
    assert shop.earned() == 2 * MONTH


def test_a_card_unbound_while_it_is_charged_stays_unbound(shop: Shop, user: User) -> None:
    shop.buy(user)
    shop.charges(pending=True)
    come_due(shop, user)
    shop.work()
    assert client_of(user).delete(f"{ADDRESS}/method").status_code == 204
    shop.pay(str(Payment.objects.get(kind="renewal").pk))
    shop.live(timedelta(hours=2))
    assert Payment.objects.get(kind="renewal").state == "succeeded"
    assert client_of(user).get(f"{ADDRESS}/method").json() == {"method": None}
    shop.live(timedelta(days=70))
    assert shop.earned() == 2 * MONTH
    assert list(audit()) == []


# Kopecks


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(
    parts=st.lists(st.integers(1, 29900), min_size=1, max_size=6),
    days=st.integers(0, 12),
)
def test_given_back_in_any_parts_it_comes_to_nothing(
    shop: Shop, parts: list[int], days: int
) -> None:
    user = make_user()
    earned = shop.earned()
    payment = shop.buy(user, automatic_renewal=False)
    for kopecks in parts:
        shop.pass_time(timedelta(days=days / 2))
        amount = Decimal(kopecks) / 100
        payment.refresh_from_db()
        enough = payment.refunding + amount <= payment.amount
        with nullcontext() if enough else pytest.raises(NotRefundable):
            request_refund(payment_id=payment.pk, amount=amount, why="asked", by="anna")
        shop.work()
    payment.refresh_from_db()
    if left := payment.amount - payment.refunding:
        request_refund(payment_id=payment.pk, amount=left, why="the rest", by="anna")
    shop.live(timedelta(minutes=5))
    payment.term.refresh_from_db()
    assert shop.earned() == earned
    assert payment.customer.ledger.aggregate(sum=Sum("amount"))["sum"] == 0
    assert payment.term.value == 0
    assert payment.term.ends <= shop.now
    assert allowance_of(user=user).plan == "free"
    assert list(audit()) == []


def test_what_came_for_somebody_who_has_left_is_given_back(shop: Shop, user: User) -> None:
    from apps.billing.subscriptions import erase_billing

    pk = shop.check_out(user).json()["id"]
    erase_billing(user)
    user.delete()
    shop.pay(pk)
    shop.live(timedelta(minutes=5))
    assert findings() == ["paid_without_user"]
    request_refund(payment_id=pk, amount=MONTH, why="the account is gone", by="anna")
    shop.live(timedelta(minutes=5))
    assert shop.earned() == held() == 0
    assert Subscription.objects.get().state == "expired"
    assert list(audit()) == []


# Who looked too early, and what nobody can mend but a person


def test_who_looked_while_it_was_pending_comes_last(shop: Shop, user: User) -> None:
    pk = shop.check_out(user).json()["id"]
    early = shop.gateway.get_payment(shop.provider_id(pk))
    shop.pay(pk)
    shop.live(timedelta(minutes=1))
    assert apply_payment(payment_id=pk, found=early).state == "succeeded"
    assert findings() == []


@pytest.mark.parametrize(
    "change",
    [
        {"amount": {"value": "298.99", "currency": "RUB"}},
        {"amount": {"value": "299.01", "currency": "RUB"}},
        {"metadata": {"payment": "00000000-0000-0000-0000-000000000000"}},
    ],
)
def test_a_contradiction_waits_for_a_person_and_bars_nobody(
    shop: Shop, user: User, change: dict[str, Any]
) -> None:
    pk = shop.check_out(user).json()["id"]
    shop.pay(pk)
    shop.fault("change", fields=change)
    shop.live(timedelta(minutes=1))
    payment = Payment.objects.get()
    assert (payment.state, payment.status, payment.error_code) == (
        "pending",
        Job.Status.FAILED,
        "contradicted",
    )
    call_command("billing", "give-up", pk, "--by", "anna")
    shop.work()
    payment.refresh_from_db()
    assert (payment.state, payment.status) == ("given_up", Job.Status.DONE)
    assert not Entry.objects.exists()
    shop.clear_faults()
    assert shop.check_out(user).json()["id"] != pk
    # The provider says so after all.
    shop.pass_time(timedelta(hours=1))
    reconcile()
    payment.refresh_from_db()
    assert payment.state == "succeeded"
    assert allowance_of(user=user).plan == "month"
    assert list(audit()) == []


def test_what_the_provider_forgot_is_given_up_by_a_person(shop: Shop, user: User) -> None:
    pk = shop.check_out(user).json()["id"]
    Payment.objects.update(provider_id="00000000-dead")
    shop.live(timedelta(minutes=1))
    assert Payment.objects.get().error_code == "absent_there"
    call_command("billing", "give-up", pk, "--by", "anna")
    shop.work()
    assert Payment.objects.get().state == "given_up"
    assert shop.check_out(user).json()["id"] != pk


@pytest.mark.parametrize("heard", [True, False])
def test_a_refund_nobody_knows_of_after_a_day_waits_for_a_person(
    shop: Shop, user: User, heard: bool
) -> None:
    payment = shop.buy(user)
    shop.fault("timeout", heard=heard, times=1000)
    request_refund(payment_id=payment.pk, amount=MONTH, why="asked", by="anna")
    shop.live(timedelta(hours=25))
    shop.clear_faults()
    shop.live(timedelta(hours=2))
    refund = Refund.objects.get()
    assert (refund.state, refund.status, refund.error_code) == (
        "pending",
        Job.Status.FAILED,
        "needs_attention",
    )
    call_command("billing", "give-up", str(refund.pk), "--by", "anna")
    with pytest.raises(CommandError):
        call_command("billing", "give-up", str(refund.pk), "--by", "boris")
    shop.work()
    payment.refresh_from_db()
    refund.refresh_from_db()
    assert (refund.state, refund.status, payment.refunding) == ("canceled", Job.Status.DONE, 0)
    if heard:  # it had been made after all
        made = shop.books()["payments"][0]["refunds"][0]["id"]
        call_command("billing", "learn-refund", made)
    else:
        request_refund(payment_id=payment.pk, amount=MONTH, why="again", by="anna")
    shop.live(timedelta(hours=1))
    assert shop.earned() == held() == 0
    assert allowance_of(user=user).plan == "free"
    assert list(audit()) == []


def test_a_refund_that_the_provider_forgot_for_a_while_is_learnt_anew(
    shop: Shop, user: User
) -> None:
    payment = shop.buy(user)
    shop.refunds(pending=True)
    request_refund(payment_id=payment.pk, amount=MONTH, why="asked", by="anna")
    shop.live(timedelta(minutes=5))
    there = str(Refund.objects.get().provider_id)
    shop.fault("status", status=404)
    shop.live(timedelta(minutes=10))
    refund = Refund.objects.get()
    assert (refund.status, refund.error_code) == (Job.Status.FAILED, "absent_there")
    call_command("billing", "give-up", str(refund.pk), "--by", "anna")
    shop.direct.post(f"/_settle/{there}", json={})
    shop.notify("refund.succeeded", there)
    shop.live(timedelta(hours=1))
    states = Refund.objects.order_by("asked_at").values_list("state", "asked_by")
    assert list(states) == [("canceled", "anna"), ("succeeded", "provider")]
    assert shop.earned() == held() == 0
    assert list(audit()) == []


def test_what_a_job_is_at_is_not_given_up(shop: Shop, user: User) -> None:
    pk = shop.check_out(user).json()["id"]
    with pytest.raises(CommandError):
        call_command("billing", "give-up", pk, "--by", "anna")
    assert Payment.objects.get().state == "pending"


def test_a_refund_that_ends_otherwise_there_is_a_finding(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    request_refund(payment_id=payment.pk, amount=MONTH, why="asked", by="anna")
    shop.live(timedelta(minutes=5))
    refund = Refund.objects.get()
    shop.fault("change", fields={"status": "canceled"})
    call_command("billing", "learn-refund", str(refund.provider_id))
    refund.refresh_from_db()
    assert refund.state == "succeeded"
    assert findings() == ["refund_differs"]
    assert list(audit()) == []


# Asking


def test_a_pending_one_is_asked_for_ever_more_seldom(shop: Shop, user: User) -> None:
    shop.buy(user)
    shop.charges(pending=True)
    renewal = come_due(shop, user)
    asked: list[int] = []
    for _ in range(4):
        before = shop.asked("GET", "/yookassa/v3/payments/")
        shop.live(timedelta(hours=1))
        asked.append(shop.asked("GET", "/yookassa/v3/payments/") - before)
    assert asked[0] > 2 * asked[1]
    assert asked[1] > asked[-1] >= 1
    renewal.refresh_from_db()
    with pytest.raises(NotYet) as waits:
        settle_payment(renewal)
    assert waits.value.after <= timedelta(hours=1)
    assert not Finding.objects.exists()
