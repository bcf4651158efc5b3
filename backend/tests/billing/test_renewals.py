"""A saved card is charged again, once a period, or patiently not."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from apps.accounts.models import User
from apps.billing.arithmetic import spread_over_the_day
from apps.billing.audit import audit
from apps.billing.models import Payment, Refund
from apps.billing.queries import allowance_of
from apps.billing.renewals import first_due
from apps.jobs.models import Job
from apps.messaging.models import Message
from tests.billing.shop import ADDRESS, Shop, approach, renewals, subscription_of
from tests.http import client_of

DAY = timedelta(days=1)


def test_a_period_is_charged_once_and_follows_the_last(shop: Shop, user: User) -> None:
    shop.buy(user)
    until = subscription_of(user).paid_until
    shop.live(until - shop.now + timedelta(hours=1))
    (renewal,) = renewals()
    assert renewal.state == "succeeded"
    assert subscription_of(user).paid_until.month == until.month + 1
    assert shop.earned() == Decimal("598.00")
    shop.live(timedelta(days=62))
    assert len(renewals()) == 3
    assert shop.earned() == 4 * Decimal("299.00")
    assert list(audit()) == []


def test_the_calendar_of_a_card_without_money(shop: Shop, user: User) -> None:
    shop.buy(user)
    shop.charges(reason="insufficient_funds")
    subscription = subscription_of(user)
    until, first = subscription.paid_until, first_due(subscription)
    told = Message.objects.filter(user=user).count()
    shop.live(until + 8 * DAY - shop.now)
    made = [(payment.asked_at - first) // DAY for payment in renewals()]
    assert made == [0, 1, 3, 7]
    assert {payment.state for payment in renewals()} == {"canceled"}
    subscription.refresh_from_db()
    assert (subscription.state, subscription.ended_at is not None) == ("expired", True)
    assert allowance_of(user=user).plan == "free"
    assert Message.objects.filter(user=user).count() == told + 5, "each time, and at the end"
    assert list(audit()) == []


def test_past_due_is_served_until_the_grace_ends_to_the_second(shop: Shop, user: User) -> None:
    shop.buy(user)
    shop.charges(reason="issuer_unavailable")
    until = subscription_of(user).paid_until
    shop.live(until - shop.now + DAY)
    assert subscription_of(user).state == "past_due"
    end = until + 7 * DAY
    assert allowance_of(user=user, at=end - timedelta(seconds=1)).plan == "month"
    assert allowance_of(user=user, at=end).plan == "free"


def test_money_that_comes_on_the_third_day_pays_from_the_first(shop: Shop, user: User) -> None:
    shop.buy(user)
    shop.charges(reason="insufficient_funds")
    until = subscription_of(user).paid_until
    shop.live(until - shop.now + DAY)
    shop.charges()
    shop.live(3 * DAY)
    subscription = subscription_of(user)
    assert subscription.state == "active"
    assert (subscription.paid_until.month, subscription.paid_until.day) == (
        until.month + 1,
        until.day,
    )
    assert list(audit()) == []


def test_a_card_that_will_not_do_is_not_tried_again_but_another_is(shop: Shop, user: User) -> None:
    shop.buy(user)
    shop.charges(reason="card_expired")
    shop.live(subscription_of(user).paid_until - shop.now + 3 * DAY)
    assert len(renewals()) == 1
    message = Message.objects.filter(user=user, text__contains="срок карты истёк").get()
    assert message.keyboard[0][0]["url"] == "https://eatfit24.example/app#card"
    shop.charges()
    asked = client_of(user).post(f"{ADDRESS}/method", {}, "application/json").json()
    shop.pay(asked["id"])
    shop.pass_time(timedelta(minutes=2))
    shop.work()
    shop.pass_time(timedelta(minutes=2))
    shop.work()
    assert [payment.state for payment in renewals()] == ["canceled", "succeeded"]
    assert subscription_of(user).state == "active"
    assert Refund.objects.get().state == "succeeded"
    assert shop.earned() == 2 * Decimal("299.00")
    assert list(audit()) == []


def test_an_unknown_charge_that_was_made_is_found_and_not_sent_again(
    shop: Shop, user: User
) -> None:
    shop.buy(user)
    approach(shop, user)
    shop.fault("timeout", heard=True)
    shop.live(timedelta(hours=1))
    (renewal,) = renewals()
    assert renewal.state == "succeeded"
    posts = shop.asked("POST", "/yookassa/v3/payments")
    assert posts == 2, "the checkout and the charge"
    assert shop.earned() == 2 * Decimal("299.00")


def test_an_unknown_charge_that_was_not_made_is_sent_again_after_an_hour(
    shop: Shop, user: User
) -> None:
    shop.buy(user)
    approach(shop, user)
    shop.fault("status", status=500, heard=False)
    shop.live(timedelta(minutes=58))
    assert shop.asked("POST", "/yookassa/v3/payments") == 2
    (renewal,) = renewals()
    assert (renewal.state, renewal.attempts > 3) == ("pending", True)
    shop.live(timedelta(minutes=30))
    (renewal,) = renewals()
    assert renewal.state == "succeeded"
    booked = [one for one in shop.books()["payments"] if one["key"] == renewal.idempotence_key]
    assert len(booked) == 1
    assert shop.earned() == 2 * Decimal("299.00")


def test_a_charge_nobody_knows_of_after_a_day_waits_for_a_person(shop: Shop, user: User) -> None:
    shop.buy(user)
    approach(shop, user)
    shop.fault("status", status=500, heard=False, times=1000)
    shop.live(timedelta(hours=22))
    shop.clear_faults()
    (renewal,) = renewals()
    Payment.objects.update(sent_at=shop.now - timedelta(hours=24))
    shop.pass_time(timedelta(hours=2))
    shop.work()
    renewal.refresh_from_db()
    assert (renewal.state, renewal.status, renewal.error_code) == (
        "pending",
        Job.Status.FAILED,
        "needs_attention",
    )
    assert len(shop.books()["payments"]) == 1, "nothing was sent again"


@pytest.mark.parametrize("action", ["cancel", "unbind", "switch off"])
def test_what_is_not_wanted_any_more_is_not_charged(shop: Shop, user: User, action: str) -> None:
    shop.buy(user)
    client = client_of(user)
    if action == "cancel":
        client.post(f"{ADDRESS}/subscription/cancel")
    elif action == "unbind":
        assert client.delete(f"{ADDRESS}/method").status_code == 204
        assert client.get(f"{ADDRESS}/method").json() == {"method": None}
    else:
        client.put(f"{ADDRESS}/subscription/renewal", {"on": False}, "application/json")
    shop.live(timedelta(days=33))
    assert renewals() == []
    assert subscription_of(user).state == "expired"
    assert allowance_of(user=user).plan == "free"
    assert shop.earned() == Decimal("299.00")
    assert list(audit()) == []


def test_resumed_it_renews(shop: Shop, user: User) -> None:
    shop.buy(user)
    client = client_of(user)
    assert client.post(f"{ADDRESS}/subscription/cancel").json()["state"] == "canceled"
    shown = client.post(f"{ADDRESS}/subscription/resume").json()
    assert (shown["state"], shown["automatic_renewal"]) == ("active", True)
    shop.live(timedelta(days=33))
    assert [payment.state for payment in renewals()] == ["succeeded"]


def test_a_trial_costs_a_rouble_that_comes_back_and_then_renews(shop: Shop, user: User) -> None:
    payment = shop.buy(user, trial=True)
    assert (payment.amount, subscription_of(user).state) == (Decimal("1.00"), "trialing")
    assert allowance_of(user=user).plan == "month"
    shop.live(timedelta(hours=1))
    assert shop.earned() == 0
    client = client_of(user)
    assert client.post(f"{ADDRESS}/subscription/cancel").json()["state"] == "canceled"
    assert client.post(f"{ADDRESS}/subscription/resume").json()["state"] == "trialing"
    shop.live(7 * DAY + timedelta(hours=1))
    assert subscription_of(user).state == "active"
    assert shop.earned() == Decimal("299.00")
    assert list(audit()) == []


def test_a_trial_is_free_to_its_end(shop: Shop, user: User) -> None:
    shop.buy(user, trial=True)
    ends = subscription_of(user).paid_until
    shop.live(ends - shop.now - timedelta(minutes=1))
    assert renewals() == []
    assert client_of(user).post(f"{ADDRESS}/subscription/cancel").status_code == 200
    shop.live(10 * DAY)
    assert (shop.earned(), subscription_of(user).state) == (0, "expired")


def test_a_trial_that_cannot_be_paid_for_has_its_calendar_too(shop: Shop, user: User) -> None:
    shop.buy(user, trial=True)
    ends = subscription_of(user).paid_until
    shop.charges(reason="insufficient_funds")
    shop.live(ends + 8 * DAY - shop.now)
    made = [payment.asked_at - ends for payment in renewals()]
    assert len(made) == 4
    assert timedelta() <= made[0] < timedelta(minutes=1)
    assert made[-1] < 7 * DAY, "while it is served"
    assert subscription_of(user).state == "expired"


def test_another_plan_from_the_next_period_on(shop: Shop, user: User) -> None:
    shop.buy(user)
    path = f"{ADDRESS}/subscription/next-plan"
    shown = client_of(user).put(path, {"plan": "year"}, "application/json").json()
    assert (shown["plan"]["code"], shown["next_plan"]["code"]) == ("month", "year")
    until = subscription_of(user).paid_until
    shop.live(until - shop.now + timedelta(hours=1))
    subscription = subscription_of(user)
    assert (subscription.version.plan_id, subscription.next_version) == ("year", None)
    assert subscription.paid_until.year == until.year + 1
    assert shop.earned() == Decimal("299.00") + Decimal("2990.00")


def test_renewals_are_spread_over_the_day() -> None:
    hours = [spread_over_the_day(uuid4()) // timedelta(hours=1) for _ in range(2000)]
    assert set(hours) == set(range(24))
    assert max(hours.count(hour) for hour in range(24)) < 150
