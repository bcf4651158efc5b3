"""Many at once on a real database: each thing happens once, and nobody locks somebody out."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from apps.accounts.models import User
from apps.billing import subscriptions as wishes
from apps.billing import tasks
from apps.billing.audit import audit
from apps.billing.checkout import start_checkout
from apps.billing.models import Entry, Finding, Notification, Payment, Refund, Subscription, Term
from apps.billing.plans import ensure_catalogue
from apps.billing.reconciliation import reconcile
from apps.billing.refunds import NotRefundable, record_refund, request_refund
from apps.billing.renewals import first_due
from apps.billing.subscriptions import NotPossible, turn_subscriptions
from apps.messaging.models import Message
from tests.billing.shop import ADDRESS, PROVIDER, Shop, open_shop, subscription_of
from tests.http import at_once, client_of, make_user

pytestmark = pytest.mark.django_db(transaction=True)

ALL = Decimal("299.00")
TIMES = 8


@pytest.fixture
def shop(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The shop on committed rows."""
    ensure_catalogue()
    with open_shop(monkeypatch) as shop:
        yield shop


@pytest.fixture
def user(transactional_db: None) -> User:
    return make_user()


def all_at_once(*calls: Callable[[], object]) -> None:
    """Each of the calls twice, all of them at the same moment."""
    waiting = [*calls, *calls]
    at_once(len(waiting), lambda: waiting.pop()())


def deadlocks() -> int:
    """That sessions which have ended ran into; a job would just try again."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def test_a_checkout_is_one_payment(shop: Shop, user: User) -> None:
    at_once(TIMES, lambda: start_checkout(user=user, plan="month"))
    assert Payment.objects.count() == 1
    assert len(shop.books()["payments"]) == 1
    assert shop.asked("POST", "/yookassa/v3/payments") == 1


def test_every_way_to_learn_of_a_payment_at_once_applies_it_once(shop: Shop, user: User) -> None:
    pk = shop.check_out(user).json()["id"]
    shop.pay(pk)
    there = shop.provider_id(pk)
    shop.pass_time(timedelta(hours=1))
    shop.notify("payment.succeeded", there)
    notification = str(Notification.objects.get().pk)
    client = client_of(user)
    all_at_once(
        lambda: tasks.settle_payment(pk),
        lambda: tasks.settle_notification(notification),
        lambda: shop.notify("payment.succeeded", there),
        lambda: client.post(f"{ADDRESS}/payments/{pk}/check"),
        reconcile,
    )
    shop.work()
    assert Payment.objects.get().state == "succeeded"
    assert (Entry.objects.count(), Term.objects.count(), Subscription.objects.count()) == (1, 1, 1)
    assert Message.objects.filter(user=user).count() == 1
    assert not Finding.objects.exists()
    assert list(audit()) == []


def test_the_same_notification_at_once_is_one_row(shop: Shop) -> None:
    answers = at_once(TIMES, lambda: shop.notify("payment.succeeded", "x", sender=PROVIDER))
    assert {answer.status_code for answer in answers} == {200}
    assert Notification.objects.get().times == TIMES


def test_a_period_that_is_due_is_charged_once(shop: Shop, user: User) -> None:
    shop.buy(user)
    shop.pass_time(first_due(subscription_of(user)) - shop.now + timedelta(seconds=1))
    at_once(TIMES, turn_subscriptions)
    renewal = Payment.objects.get(kind="renewal")
    at_once(TIMES, lambda: tasks.settle_payment(str(renewal.pk)))
    assert shop.asked("POST", "/yookassa/v3/payments") == 2, "the checkout and the charge"
    assert shop.earned() == 2 * ALL
    assert list(audit()) == []


def test_refunds_of_all_kinds_at_once_never_exceed_what_was_paid(shop: Shop, user: User) -> None:
    from apps.billing.gateway import NewRefund

    payment = shop.buy(user)
    new = NewRefund(payment=str(payment.provider_id), amount=Decimal("149.00"))
    found = shop.gateway.create_refund(new, key="in-the-cabinet")

    def ask() -> None:
        """Of the two who ask at once, one is refused."""
        try:
            request_refund(payment_id=payment.pk, amount=Decimal("150.00"), why="asked", by="anna")
        except NotRefundable:
            return

    all_at_once(ask, lambda: record_refund(found=found), lambda: record_refund(found=found))
    shop.live(timedelta(hours=1))
    made = Refund.objects.filter(state="succeeded").values_list("amount", flat=True)
    assert sorted(made) == [Decimal("149.00"), Decimal("150.00")]
    assert shop.earned() == 0 == payment.customer.ledger.last().balance
    assert not Finding.objects.exists()
    assert list(audit()) == []


def test_who_leaves_while_their_payment_comes_in(shop: Shop, user: User) -> None:
    before = deadlocks()
    pk = shop.check_out(user, contact="anna@example.com").json()["id"]
    shop.pay(pk)
    there = shop.provider_id(pk)
    Payment.objects.update(provider_id=there)
    shop.pass_time(timedelta(minutes=5))
    shop.notify("payment.succeeded", there, payment_method={"card": {"last4": "4477"}})
    notification = str(Notification.objects.get().pk)
    all_at_once(
        lambda: tasks.settle_payment(pk),
        lambda: tasks.settle_notification(notification),
        lambda: wishes.erase_billing(user),
    )
    wishes.erase_billing(user)
    user.delete()
    shop.live(timedelta(days=40))
    payment = Payment.objects.get()
    assert (payment.state, payment.contact) == ("succeeded", "")
    assert set(payment.customer.methods.values_list("provider_id", "title")) <= {("", "")}
    assert Notification.objects.get().body == ""
    assert list(audit()) == []
    assert deadlocks() == before


def test_nobody_waits_for_ever_for_each_other(shop: Shop, user: User) -> None:
    """Everything that takes a customer's locks, at once."""
    before = deadlocks()
    payment = shop.buy(user)
    shop.pass_time(first_due(subscription_of(user)) - shop.now + timedelta(seconds=1))
    year = shop.check_out(user, "year").json()["id"]
    shop.pay(year)
    request_refund(payment_id=payment.pk, amount=Decimal("10.00"), why="asked", by="anna")
    refund = str(Refund.objects.get().pk)

    def toggle() -> None:
        try:
            wishes.cancel_subscription(user=user)
            wishes.resume_subscription(user=user)
        except NotPossible:
            return

    all_at_once(
        toggle,
        turn_subscriptions,
        reconcile,
        lambda: tasks.settle_payment(year),
        lambda: tasks.settle_refund(refund),
        lambda: wishes.unbind_method(user=user),
    )
    shop.live(timedelta(hours=2))
    assert Payment.objects.get(pk=year).state == "succeeded"
    assert Refund.objects.get().state == "succeeded"
    assert list(audit()) == []
    assert deadlocks() == before
