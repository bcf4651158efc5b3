"""Charges that do not go well: what people are told, and what many of them do to the provider."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.utils import translation
from django.utils.formats import date_format

from apps.accounts.models import User
from apps.billing.audit import audit
from apps.billing.gateway import NewPayment
from apps.billing.models import Customer, Payment, PaymentMethod, Subscription
from apps.billing.renewals import first_due, renewal_key
from apps.billing.subscriptions import BATCH, turn_subscriptions
from apps.jobs.models import Job
from apps.messaging.models import Message
from tests.billing.shop import ADDRESS, Shop, approach, renewals, subscription_of
from tests.http import client_of, make_user

DAY = timedelta(days=1)
ALL = Decimal("299.00")


def told(user: User) -> list[tuple[str, str]]:
    """Each text with the address of its button."""
    return [
        (message.text, message.keyboard[0][0]["url"] if message.keyboard else "")
        for message in Message.objects.filter(user=user).order_by("number")
    ]


@pytest.mark.parametrize(
    ("language", "again", "last", "ended"),
    [
        (
            "ru",
            (
                "Не удалось списать 299.00 ₽ за подписку: на карте не хватает денег. "
                "Попробуем ещё раз {again}; до {until} подписка всё равно действует. "
                "Можно оплатить и самостоятельно."
            ),
            (
                "Не удалось списать 299.00 ₽ за подписку: на карте не хватает денег. "
                "Это была последняя попытка. До {until} подписка действует; "
                "чтобы сохранить её, оплатите, пожалуйста, самостоятельно."
            ),
            "Подписка закончилась: её не удалось оплатить. Купить её снова можно в любой момент.",
        ),
        (
            "en",
            (
                "We could not charge 299.00 ₽ for your plan, because there is not enough money on "
                "the card. We will try again on {again}; until {until} your plan is served all the "
                "same. You can also pay yourself."
            ),
            (
                "We could not charge 299.00 ₽ for your plan, because there is not enough money on "
                "the card. This was the last time we tried. Until {until} your plan is served; "
                "please pay yourself to keep it."
            ),
            "Your plan has ended, since it could not be paid for. You can buy it again any time.",
        ),
    ],
)
def test_what_is_told_on_each_day_of_the_calendar(
    shop: Shop, language: str, again: str, last: str, ended: str
) -> None:
    user = make_user(language=language)
    shop.buy(user)
    shop.charges(reason="insufficient_funds")
    until = subscription_of(user).paid_until
    first = first_due(subscription_of(user))
    before = len(told(user))
    shop.live(until + 8 * DAY - shop.now)

    def shown(moment: Any) -> str:
        with translation.override(language):
            return date_format(moment.astimezone(ZoneInfo(user.time_zone)), "j E Y")

    plans = "https://eatfit24.example/app#plans"
    served = shown(until + 7 * DAY)
    assert told(user)[before:] == [
        *((again.format(again=shown(first + day * DAY), until=served), plans) for day in (1, 3, 7)),
        (last.format(until=served), plans),
        (ended, plans),
    ]


def test_the_last_day_lies_within_the_grace_period(shop: Shop) -> None:
    """Else a charge would be for days that nobody was served."""
    for _ in range(20):
        user = make_user()
        shop.buy(user)
        subscription = subscription_of(user)
        assert subscription.paid_until - DAY <= first_due(subscription) < subscription.paid_until
        assert first_due(subscription) + 7 * DAY < subscription.served_until


def test_a_reason_of_tomorrow_is_tried_again(shop: Shop, user: User) -> None:
    shop.buy(user)
    approach(shop, user)
    shop.fault("status", status=500, heard=True)
    shop.charges(reason="general_decline")
    shop.live(2 * DAY)
    assert [payment.reason for payment in renewals()] == ["general_decline"] * 2


def test_after_an_outage_the_days_are_not_made_up_for_in_a_row(shop: Shop, user: User) -> None:
    shop.buy(user)
    shop.charges(reason="insufficient_funds")
    until = subscription_of(user).paid_until
    shop.pass_time(until + 3 * DAY - shop.now)  # nobody worked for four days
    shop.live(timedelta(hours=19))
    assert len(renewals()) == 1
    shop.live(timedelta(hours=2))
    assert len(renewals()) == 2


def test_a_charge_that_was_made_is_found_on_a_later_page(shop: Shop, user: User) -> None:
    shop.buy(user)
    approach(shop, user)
    shop.fault("timeout", heard=True)
    shop.pass_time(timedelta(minutes=1))
    shop.work(rounds=1)
    for number in range(220):  # newer ones, so that ours stands on the third page
        shop.gateway.create_payment(
            NewPayment(
                amount=ALL,
                description="another",
                metadata={"payment": f"other-{number}"},
                return_url="https://eatfit24.example/app",
            ),
            key=f"other-{number}",
        )
    posts = shop.asked("POST", "/yookassa/v3/payments")
    shop.live(timedelta(minutes=10))
    assert [payment.state for payment in renewals()] == ["succeeded"]
    assert shop.asked("POST", "/yookassa/v3/payments") == posts, "it was not sent again"
    assert shop.earned() == 2 * ALL


def test_a_list_that_cannot_be_read_to_its_end_sends_nothing_again(shop: Shop, user: User) -> None:
    shop.buy(user)
    approach(shop, user)
    shop.fault("timeout", heard=True)
    shop.pass_time(timedelta(minutes=1))
    shop.work(rounds=1)
    shop.fault("status", status=500, times=1000)
    posts = shop.asked("POST", "/yookassa/v3/payments")
    shop.live(timedelta(hours=5))
    assert shop.asked("POST", "/yookassa/v3/payments") == posts
    shop.clear_faults()
    shop.live(timedelta(hours=2))
    assert [payment.state for payment in renewals()] == ["succeeded"]
    assert shop.earned() == 2 * ALL


def test_too_many_requests_are_waited_out(shop: Shop, user: User) -> None:
    shop.buy(user)
    approach(shop, user)
    shop.fault("status", status=429, retry_after="600")
    shop.pass_time(timedelta(minutes=1))
    shop.work()
    (renewal,) = renewals()
    assert (renewal.error_code, renewal.sent_at) == ("too_many_requests", None)
    posts = shop.asked("POST", "/yookassa/v3/payments")
    shop.live(timedelta(minutes=9))
    assert shop.asked("POST", "/yookassa/v3/payments") == posts
    shop.live(timedelta(minutes=2))
    assert [payment.state for payment in renewals()] == ["succeeded"]
    assert renewals()[0].tries_left == Payment.tries - 1, "waiting costs no attempt"


def test_a_key_that_is_not_let_in_is_told_once_a_day_and_loses_nothing(
    shop: Shop, user: User, settings: Any
) -> None:
    settings.ADMIN_CHAT_IDS = [77]
    shop.buy(user)
    approach(shop, user)
    shop.fault("status", status=401, times=1000)
    shop.live(timedelta(hours=6))
    (renewal,) = renewals()
    assert (renewal.state, renewal.error_code) == ("pending", "invalid_credentials")
    warned = Message.objects.filter(chat_id=77, text__contains="does not let us in").count()
    assert 1 <= warned <= 2, "six hours are one day, or lie in two"
    shop.clear_faults()
    shop.live(timedelta(hours=2))
    assert [payment.state for payment in renewals()] == ["succeeded"]
    assert shop.earned() == 2 * ALL


def test_a_charge_of_unknown_outcome_is_told_to_administrators_and_given_up(
    shop: Shop, user: User, settings: Any
) -> None:
    settings.ADMIN_CHAT_IDS = [77]
    shop.buy(user)
    approach(shop, user)
    shop.fault("status", status=500, heard=False, times=1000)
    shop.live(timedelta(hours=2))
    shop.clear_faults()
    shop.pass_time(DAY)
    shop.work()
    (renewal,) = renewals()
    assert (renewal.state, renewal.error_code) == ("pending", "needs_attention")
    (message,) = Message.objects.filter(chat_id=77)
    assert str(renewal.pk) in message.text
    assert "docs/BILLING.md" in message.text
    call_command("billing", "give-up", str(renewal.pk), "--by", "anna")
    shop.live(2 * DAY)
    assert [payment.state for payment in renewals()] == ["given_up", "succeeded"]
    assert subscription_of(user).state == "active"
    assert shop.earned() == 2 * ALL
    assert list(audit()) == []


def test_switched_off_and_on_again_it_renews(shop: Shop, user: User) -> None:
    shop.buy(user)
    path, client = f"{ADDRESS}/subscription/renewal", client_of(user)
    for on in (False, True, True):
        shown = client.put(path, {"on": on}, "application/json").json()
        assert (shown["state"], shown["automatic_renewal"]) == ("active", on)
    shop.live(timedelta(days=33))
    assert [payment.state for payment in renewals()] == ["succeeded"]


def test_who_buys_without_renewal_is_not_charged_by_an_earlier_wish(shop: Shop, user: User) -> None:
    shop.buy(user)
    assert subscription_of(user).automatic_renewal
    shop.buy(user, automatic_renewal=False)
    assert not subscription_of(user).automatic_renewal
    assert PaymentMethod.objects.filter(unbound_at=None).count() == 1, "the card is still theirs"
    shop.live(timedelta(days=70))
    assert renewals() == []
    assert shop.earned() == 2 * ALL
    assert subscription_of(user).state == "expired"


# Many


def subscribers(shop: Shop, number: int) -> list[Subscription]:
    """So many who bought at the same second."""
    for _ in range(number):
        shop.check_out(make_user())
    for payment in Payment.objects.all():
        shop.pay(str(payment.pk))
    shop.pass_time(timedelta(minutes=5))
    shop.work()
    found = list(Subscription.objects.all())
    assert len(found) == number
    assert len({subscription.paid_until for subscription in found}) == 1
    return found


def test_those_who_bought_at_once_are_charged_over_the_day(shop: Shop) -> None:
    people = subscribers(shop, 24)
    shop.charges(reason="insufficient_funds")
    shop.live(people[0].paid_until + 2 * DAY - shop.now)
    hours = Counter((one.attempt, one.asked_at.strftime("%d %H")) for one in renewals())
    assert Counter(attempt for attempt, _ in hours.elements()) == {0: 24, 1: 24}
    assert max(hours.values()) < 9, "of 24, in an hour"
    assert len(hours) > 14


def test_those_who_are_due_at_once_come_in_batches(shop: Shop, user: User) -> None:
    shop.buy(user)
    model = subscription_of(user)
    for _ in range(BATCH + 10):
        Subscription.objects.create(
            customer=Customer.objects.create(),
            state="canceled",
            version=model.version,
            automatic_renewal=False,
            paid_until=shop.now,
            served_until=shop.now,
            anchor_day=1,
            next_at=shop.now,
        )
    assert [turn_subscriptions() for _ in range(3)] == [BATCH, 10, 0]
    assert Subscription.objects.filter(state="expired").count() == BATCH + 10


def test_one_that_cannot_be_turned_does_not_hold_up_the_others(shop: Shop) -> None:
    broken, whole = subscribers(shop, 2)
    # Somebody has taken the key of its charge.
    Payment.objects.filter(customer=whole.customer).update(
        idempotence_key=renewal_key(broken.pk, broken.paid_until, 0)
    )
    shop.pass_time(broken.paid_until - shop.now - timedelta(minutes=1))
    shop.work()
    (renewal,) = renewals()
    assert (renewal.subscription_id, renewal.state) == (whole.pk, "succeeded")
    broken.refresh_from_db()
    assert broken.next_at is not None
    assert broken.next_at > shop.now
    assert not Payment.objects.filter(status=Job.Status.FAILED).exists()


# A card without buying


@pytest.mark.parametrize("trial", [True, False])
def test_a_bank_that_lets_no_card_be_saved_costs_nothing(
    shop: Shop, user: User, trial: bool
) -> None:
    asked = (
        shop.check_out(user, trial=True)
        if trial
        else client_of(user).post(f"{ADDRESS}/method", {}, "application/json")
    )
    shop.pay(asked.json()["id"], agrees=False)
    shop.live(timedelta(minutes=5))
    assert not PaymentMethod.objects.exists()
    assert not Subscription.objects.exists()
    assert shop.earned() == 0
    assert told(user)[-1][0].startswith("Банк не дал привязать карту")
    assert list(audit()) == []
