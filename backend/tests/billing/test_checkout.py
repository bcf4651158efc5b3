"""Buying: from the checkout to what one may have."""

import time
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest

from apps.accounts.models import User
from apps.billing.audit import audit
from apps.billing.models import Entry, Payment, Subscription
from apps.billing.queries import allowance_of
from apps.messaging.models import Message
from tests.billing.shop import ADDRESS, Shop, subscription_of
from tests.http import client_of, make_user, problem


def test_what_is_bought_is_had(shop: Shop, user: User) -> None:
    answer = shop.check_out(user)
    assert answer.status_code == 200, answer.content
    asked = answer.json()
    assert (asked["amount"], asked["state"], asked["plan"]) == ("299.00", "pending", "month")
    assert asked["confirmation_url"].endswith(f"/yookassa/pay/{shop.provider_id(asked['id'])}")
    assert allowance_of(user=user).plan == "free"
    shop.pay(asked["id"])
    shop.pass_time(timedelta(seconds=30))
    shop.work()
    shown = client_of(user).get(f"{ADDRESS}/subscription").json()
    assert (shown["state"], shown["plan"]["code"], shown["automatic_renewal"]) == (
        "active",
        "month",
        True,
    )
    assert shown["allowance"]["recognitions"] == 600
    assert (allowance_of(user=user).plan, allowance_of(user=user).recognitions) == ("month", 600)
    assert shop.earned() == Decimal("299.00")
    assert [(entry.kind, entry.amount) for entry in Entry.objects.all()] == [
        ("charged", Decimal("299.00"))
    ]
    assert Message.objects.filter(user=user, text__contains="299.00").count() == 1
    assert list(audit()) == []


def test_asked_twice_it_is_the_same_payment(shop: Shop, user: User) -> None:
    first, second = shop.check_out(user), shop.check_out(user)
    assert first.json() == second.json()
    assert Payment.objects.count() == 1
    assert shop.asked("POST", "/yookassa/v3/payments") == 1
    assert shop.check_out(user, "year").json()["id"] != first.json()["id"]
    assert shop.check_out(make_user()).json()["id"] != first.json()["id"]


def test_a_page_that_is_gone_is_replaced(shop: Shop, user: User) -> None:
    first = shop.check_out(user).json()
    shop.pass_time(timedelta(hours=2))
    second = shop.check_out(user).json()
    assert second["id"] != first["id"]
    gone = Payment.objects.get(pk=first["id"])
    assert (gone.state, gone.reason) == ("canceled", "expired_on_confirmation")


def test_the_price_is_the_plans(shop: Shop, user: User) -> None:
    answer = shop.check_out(user, price="1.00", amount="1.00")
    assert answer.json()["amount"] == "299.00"
    assert shop.books()["payments"][0]["amount"] == "299.00"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/app",
        "https://eatfit24.example.evil.example/",
        "http://eatfit24.example/app",
        "https://eatfit24.example@evil.example/",
        "//evil.example",
        "javascript:alert(1)",
        "https://eatfit24.example:8443/",
    ],
)
def test_one_comes_back_to_us_alone(shop: Shop, user: User, url: str) -> None:
    problem(shop.check_out(user, return_url=url), 422, "foreign_return_url")
    assert not Payment.objects.exists()
    assert shop.books()["payments"] == []


def test_a_slow_provider_is_not_waited_for(shop: Shop, user: User) -> None:
    shop.fault("latency", seconds=60)
    answer = shop.check_out(user)
    assert answer.status_code == 202
    assert answer.json()["confirmation_url"] is None
    assert answer.headers["Retry-After"]
    assert shop.check_out(user).json()["id"] == answer.json()["id"]
    shop.pass_time(timedelta(minutes=1))
    shop.work()
    shown = client_of(user).get(answer.headers["Location"]).json()
    assert shown["confirmation_url"]
    assert len(shop.books()["payments"]) == 1, "the same key"


class Slow(httpx.BaseTransport):
    """A provider that takes so many seconds for everything."""

    def __init__(self, shop: Shop, seconds: float) -> None:
        self._shop, self._seconds = shop, seconds
        self.patience: list[float] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.patience.append(request.extensions["timeout"]["read"])
        if self.patience[-1] < self._seconds:
            raise httpx.ReadTimeout("silence", request=request)
        time.sleep(self._seconds)
        return self._shop.wire.handle_request(request)


@pytest.mark.parametrize("age", [timedelta(hours=2), timedelta(hours=30)])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seconds", [0.1, 60])
def test_five_seconds_are_for_all_that_is_asked(
    shop: Shop, user: User, age: timedelta, known: bool, seconds: float
) -> None:
    """An earlier checkout is looked at first: by its id, with its key, or in the list."""
    first = shop.check_out(user).json()["id"]
    if not known:
        Payment.objects.update(provider_id=None, confirmation_url="")
    shop.pass_time(age)
    shop.gateway._http._transport = slow = Slow(shop, seconds)
    answer = shop.check_out(user)
    assert slow.patience[0] <= 4.5
    if seconds == 60:
        assert (answer.json()["id"], len(slow.patience)) == (first, 1)
    else:
        assert answer.json()["id"] != first
        assert slow.patience[-1] <= 4.5 - seconds * (len(slow.patience) - 1)


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("fault", [{"kind": "status", "status": 500}, {"kind": "reset"}])
def test_a_provider_that_stumbles_makes_one_payment(
    shop: Shop, user: User, fault: dict[str, object], heard: bool
) -> None:
    shop.fault(**fault, heard=heard, times=3)
    assert shop.check_out(user).status_code == 202
    for _ in range(5):
        shop.pass_time(timedelta(minutes=1))
        shop.work()
    assert len(shop.books()["payments"]) == 1
    assert shop.check_out(user).json()["confirmation_url"]


def test_what_is_refused_is_given_up(shop: Shop, user: User) -> None:
    shop.fault("status", status=400)
    answer = shop.check_out(user)
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["reason"]) == ("given_up", "refused")
    assert shop.check_out(user).json()["state"] == "pending"


def test_a_checkout_that_is_declined_leaves_all_as_it_was(shop: Shop, user: User) -> None:
    asked = shop.check_out(user).json()
    shop.pay(asked["id"], card="5555555555554600")
    shop.pass_time(timedelta(minutes=1))
    shop.work()
    shown = client_of(user).get(f"{ADDRESS}/payments/{asked['id']}").json()
    assert (shown["state"], shown["reason"]) == ("canceled", "insufficient_funds")
    assert not Subscription.objects.exists()
    assert not Entry.objects.exists()


def test_a_second_payment_comes_after_the_first(shop: Shop, user: User) -> None:
    shop.buy(user)
    until = subscription_of(user).paid_until
    shop.buy(user)
    assert subscription_of(user).paid_until.month == until.month + 1
    assert list(audit()) == []
