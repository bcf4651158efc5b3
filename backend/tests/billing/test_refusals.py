"""What is not done, why not, and that it left nothing behind."""

from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.billing.models import Customer, Notification, Payment, Subscription
from tests.billing.shop import ADDRESS, Shop, subscription_of
from tests.http import client_of, make_user, problem


def put(user: User, path: str, body: Any) -> Any:
    return client_of(user).put(f"{ADDRESS}{path}", body, "application/json")


def test_a_trial_is_had_once(shop: Shop, user: User) -> None:
    shop.buy(user)
    before = Payment.objects.count()
    problem(shop.check_out(user, trial=True), 409, "trial_used")
    problem(shop.check_out(make_user(), "year", trial=True), 409, "no_trial")
    assert Payment.objects.count() == before


@pytest.mark.parametrize("plan", ["free", "week", "MONTH", ""])
def test_what_is_not_sold_is_not_bought(shop: Shop, user: User, plan: str) -> None:
    assert shop.check_out(user, plan).status_code == 422
    assert not Payment.objects.exists()


def test_while_a_card_is_being_charged_nothing_else_is_paid(shop: Shop, user: User) -> None:
    shop.buy(user)
    shop.charges(pending=True)
    shop.live(timedelta(days=31))
    assert Payment.objects.filter(kind="renewal", state="pending").exists()
    problem(shop.check_out(user), 409, "charge_under_way")


def test_a_shop_without_a_key_sells_nothing(
    shop: Shop, user: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.undo()
    assert not settings.YOOKASSA_SHOP_ID
    problem(shop.check_out(user), 503, "not_configured")
    assert not Customer.objects.exists()


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/subscription/renewal", {"on": True}, "no_subscription"),
        ("/subscription/next-plan", {"plan": "year"}, "no_subscription"),
    ],
)
def test_without_a_subscription_there_is_nothing_to_change(
    shop: Shop, user: User, path: str, body: Any, code: str
) -> None:
    problem(put(user, path, body), 409, code)
    for action in ("cancel", "resume"):
        problem(client_of(user).post(f"{ADDRESS}/subscription/{action}"), 409, code)
    assert not Subscription.objects.exists()


def test_without_a_card_nothing_renews(shop: Shop, user: User) -> None:
    shop.buy(user, automatic_renewal=False)
    assert not subscription_of(user).automatic_renewal
    problem(put(user, "/subscription/renewal", {"on": True}), 409, "no_saved_method")
    problem(put(user, "/subscription/next-plan", {"plan": "year"}), 409, "does_not_renew")
    client_of(user).post(f"{ADDRESS}/subscription/cancel")
    problem(client_of(user).post(f"{ADDRESS}/subscription/resume"), 409, "no_saved_method")


def test_what_is_over_is_not_resumed(shop: Shop, user: User) -> None:
    shop.buy(user)
    client_of(user).post(f"{ADDRESS}/subscription/cancel")
    shop.live(timedelta(days=32))
    assert subscription_of(user).state == "expired"
    problem(client_of(user).post(f"{ADDRESS}/subscription/resume"), 409, "not_in_this_state")
    problem(client_of(user).post(f"{ADDRESS}/subscription/cancel"), 409, "not_in_this_state")
    problem(put(user, "/subscription/renewal", {"on": True}), 409, "not_in_this_state")


def test_payments_are_their_payers_alone(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    stranger = client_of(make_user())
    problem(stranger.get(f"{ADDRESS}/payments/{payment.pk}"), 404, "not_found")
    problem(stranger.post(f"{ADDRESS}/payments/{payment.pk}/check"), 404, "not_found")
    assert stranger.get(f"{ADDRESS}/payments").json() == {"payments": []}
    own = client_of(user).get(f"{ADDRESS}/payments").json()["payments"]
    assert [one["id"] for one in own] == [str(payment.pk)]


@pytest.mark.parametrize(
    "sender",
    [
        *("203.0.113.7", "77.75.156.12", "185.71.77.32", "2a02:5181::1", "::ffff:203.0.113.7"),
        *("10.0.0.1", "172.16.0.1", "192.168.0.1", "127.0.0.1", "::1", "fd00::1", "fe80::1"),
        *("::ffff:10.0.0.1", "::ffff:127.0.0.1"),
    ],
)
def test_a_stranger_notifies_us_of_nothing(shop: Shop, sender: str) -> None:
    problem(shop.notify("payment.succeeded", "x", sender=sender), 403, "not_the_provider")
    assert not Notification.objects.exists()


@pytest.mark.parametrize(
    "sender",
    ["77.75.153.1", "77.75.156.11", "185.71.77.31", "::ffff:185.71.76.1", "2a02:5180::1"],
)
def test_the_provider_is_known_by_its_addresses(shop: Shop, sender: str) -> None:
    assert shop.notify("payment.succeeded", "x", sender=sender).status_code == 200
    assert Notification.objects.count() == 1


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("185.71.76.1", 200),
        ("::ffff:185.71.76.1", 200),
        ("2a02:5180::5", 200),
        ("185.71.76.1, 203.0.113.7", 403),
        ("::ffff:203.0.113.7", 403),
        ("10.0.0.1", 403),
        ("192.168.0.1", 403),
        ("::ffff:10.0.0.1", 403),
        ("fd00::1", 403),
        ("", 403),
        ("nonsense", 403),
    ],
)
def test_behind_our_proxy_its_word_counts(shop: Shop, forwarded: str, status: int) -> None:
    body = {"type": "notification", "event": "payment.succeeded", "object": {"id": "x"}}
    answer = Client(headers={"X-Forwarded-For": forwarded}).post(
        f"{ADDRESS}/yookassa/notifications", body, "application/json", REMOTE_ADDR="172.20.0.5"
    )
    assert answer.status_code == status
    assert Notification.objects.count() == (status == 200)


def test_no_private_network_is_the_providers(settings: Any) -> None:
    networks = [ip_network(network) for network in settings.YOOKASSA_NOTIFICATION_NETWORKS]
    assert len(networks) == 7
    assert not any(network.is_private for network in networks)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"type": "notification", "event": "payment.succeeded", "object": {}}', 400),
        (b'{"type": "notification", "event": "deal.closed", "object": {"id": "x"}}', 400),
        (
            b'{"type": "notification", "event": "payment.succeeded", "object": {"id": "\\u0000"}}',
            400,
        ),
        (b"[" * 60_000, 400),
        (b" " * 70_000, 413),
        (b" " * 4_000_000, 413),
    ],
)
def test_what_is_no_notification_is_not_kept(shop: Shop, body: bytes, status: int) -> None:
    answer = Client().post(
        f"{ADDRESS}/yookassa/notifications", body, "application/json", REMOTE_ADDR="185.71.76.1"
    )
    assert answer.status_code == status
    assert not Notification.objects.exists()


def test_notifications_are_only_posted(shop: Shop) -> None:
    problem(Client().get(f"{ADDRESS}/yookassa/notifications"), 405, "method_not_allowed")
