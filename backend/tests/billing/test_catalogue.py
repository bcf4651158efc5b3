"""Plans are added to and never changed; receipts go along where they are configured."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from apps.accounts.models import User
from apps.billing.models import Payment, PlanVersion
from apps.billing.plans import ensure_catalogue
from apps.billing.queries import allowance_of, export_billing
from apps.billing.refunds import request_refund
from tests.billing.shop import ADDRESS, Shop, subscription_of
from tests.http import client_of, problem


def test_everybody_sees_what_there_is(shop: Shop) -> None:
    plans = Client().get(f"{ADDRESS}/plans").json()["plans"]
    assert [(plan["code"], plan["price"], plan["months"]) for plan in plans] == [
        ("free", "0.00", 0),
        ("month", "299.00", 1),
        ("year", "2990.00", 12),
    ]


def test_the_catalogue_is_made_once(shop: Shop) -> None:
    assert ensure_catalogue() == 0
    assert PlanVersion.objects.count() == 3


def test_a_new_price_is_for_new_buyers(shop: Shop, user: User) -> None:
    shop.buy(user)
    add = ("plans", "add", "month", "--months", "1", "--recognitions", "700")
    call_command(*add, "--price", "399")
    assert shop.check_out(user).json()["amount"] == "399.00"
    shop.live(timedelta(days=33))
    assert subscription_of(user).version.price == Decimal("299.00")
    assert allowance_of(user=user).recognitions == 600
    assert shop.earned() == 2 * Decimal("299.00")
    for price, months in (("-1", "1"), ("0", "1"), ("10", "0")):
        with pytest.raises(CommandError):
            call_command(
                "plans", "add", "month", "--price", price, "--months", months,
                "--recognitions", "1",
            )  # fmt: skip
    assert PlanVersion.objects.count() == 4


def test_the_allowance_is_one_query(shop: Shop, user: User, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert allowance_of(user=user).plan == "free"
    shop.buy(user)
    with django_assert_num_queries(1):
        assert allowance_of(user=user).plan == "month"


def test_a_years_allowance_is_had_month_by_month(shop: Shop, user: User) -> None:
    term = shop.buy(user, "year").term
    allowance = allowance_of(user=user, at=term.begins + timedelta(days=100))
    assert (allowance.plan, allowance.recognitions) == ("year", 600)
    assert allowance.ends - allowance.begins < timedelta(days=32)
    last = allowance_of(user=user, at=term.ends - timedelta(seconds=1))
    assert last.ends == term.ends


def test_receipts_are_sent_where_they_are_configured(shop: Shop, user: User, settings: Any) -> None:
    settings.RECEIPT_VAT_CODE = 4
    problem(shop.check_out(user), 422, "contact_needed")
    problem(shop.check_out(user, contact="nonsense"), 422, "not_a_contact")
    assert shop.books()["payments"] == []
    shop.buy(user, contact="anna@example.com")
    shop.live(timedelta(days=33))
    for booked in shop.books()["payments"]:
        receipt = booked["receipt"]
        assert receipt["customer"] == {"email": "anna@example.com"}
        (item,) = receipt["items"]
        assert (item["vat_code"], item["amount"]["value"]) == (4, "299.00")
        assert item["description"] == "Подписка EatFit24 на месяц"
    assert len(shop.books()["payments"]) == 2
    paid = Payment.objects.first()
    assert paid is not None
    request_refund(payment_id=paid.pk, amount=Decimal("99.50"), why="asked", by="anna")
    shop.live(timedelta(minutes=5))
    ((refund,),) = [one["refunds"] for one in shop.books()["payments"] if one["refunds"]]
    assert refund["receipt"]["customer"] == {"email": "anna@example.com"}
    assert [item["amount"]["value"] for item in refund["receipt"]["items"]] == ["99.50"]


def test_the_rouble_of_a_card_has_its_receipts(shop: Shop, user: User, settings: Any) -> None:
    settings.RECEIPT_VAT_CODE = 1
    contact = {"contact": "+7 900 123-45-67"}
    asked = client_of(user).post(f"{ADDRESS}/method", contact, "application/json").json()
    shop.pay(asked["id"])
    shop.live(timedelta(minutes=5))
    (booked,) = shop.books()["payments"]
    for receipt in (booked["receipt"], booked["refunds"][0]["receipt"]):
        assert receipt["customer"] == {"phone": "79001234567"}
        assert [item["amount"]["value"] for item in receipt["items"]] == ["1.00"]


def test_what_is_known_of_a_person_is_told(shop: Shop, user: User) -> None:
    assert export_billing(user) is None
    payment = shop.buy(user, contact="anna@example.com")
    told = export_billing(user)
    assert told is not None
    assert told["contact"] == "anna@example.com"
    assert told["subscription"]["plan"] == "month"
    assert [one["id"] for one in told["payments"]] == [payment.pk]
    assert told["methods"][0]["title"] == "Bank card *4477"
