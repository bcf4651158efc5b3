"""What comes late, twice, from elsewhere, or does not match."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum

from apps.accounts.models import User
from apps.billing.audit import audit
from apps.billing.digest import send_digest, week_before
from apps.billing.gateway import NewPayment
from apps.billing.models import Entry, Finding, Notification, Payment, Refund, Subscription
from apps.billing.queries import allowance_of
from apps.billing.reconciliation import reconcile
from apps.billing.settling import give_up_payment
from apps.billing.subscriptions import erase_billing
from apps.jobs import periods
from apps.jobs.models import Job, Period
from apps.jobs.worker import run_job
from apps.messaging.models import Message
from tests.billing.shop import ADDRESS, Shop, subscription_of
from tests.http import client_of, make_user

ALL = Decimal("299.00")


def findings() -> list[str]:
    return list(Finding.objects.order_by("kind").values_list("kind", flat=True))


def made_there(shop: Shop, *, amount: str = "299.00", **metadata: str) -> str:
    """A payment at the provider that we know nothing of; paid. Its id there."""
    new = NewPayment(
        amount=Decimal(amount),
        description="by hand",
        metadata=metadata,
        return_url="https://eatfit24.example/app",
    )
    made = shop.gateway.create_payment(new, key=f"by-hand-{len(shop.books()['payments'])}")
    shop.pay(made.id)
    return made.id


def test_notified_twice_and_late_it_is_applied_once(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    for _ in range(3):
        assert shop.notify("payment.succeeded", str(payment.provider_id)).status_code == 200
    shop.work()
    assert Notification.objects.get().times == 3
    assert Entry.objects.count() == 1
    assert shop.notify("payment.waiting_for_capture", str(payment.provider_id)).status_code == 200
    shop.work()
    assert Payment.objects.get().state == "succeeded"


def test_a_notification_outruns_the_answer_to_our_own_request(shop: Shop, user: User) -> None:
    shop.fault("timeout", heard=True)
    pk = shop.check_out(user).json()["id"]
    there = shop.provider_id(pk)
    shop.pay(there)
    shop.notify("payment.succeeded", there)
    shop.work()
    assert Payment.objects.get().state == "succeeded"
    assert allowance_of(user=user).plan == "month"


def test_what_a_notification_says_itself_is_not_believed(shop: Shop, user: User) -> None:
    pk = shop.check_out(user).json()["id"]
    shop.notify("payment.succeeded", shop.provider_id(pk), status="succeeded", paid=True)
    shop.work()
    assert Payment.objects.get().state == "pending"
    assert not Subscription.objects.exists()


def test_sent_again_a_failed_one_is_looked_at_again(shop: Shop, user: User) -> None:
    shop.notify("payment.succeeded", "no-such-payment")
    shop.work()
    (failed,) = Notification.objects.all()
    assert (failed.status, failed.error_code) == (Job.Status.FAILED, "absent_there")
    shop.notify("payment.succeeded", "no-such-payment")
    failed.refresh_from_db()
    assert (failed.status, failed.handled_by) == (Job.Status.PENDING, "sent again")


def test_one_that_we_had_given_up_is_granted_all_the_same(shop: Shop, user: User) -> None:
    shop.fault("timeout", heard=True)
    pk = shop.check_out(user).json()["id"]
    payment = Payment.objects.get(pk=pk)
    assert not give_up_payment(payment=payment, by="anna"), "a worker is at it"
    Payment.objects.update(status=Job.Status.FAILED, error_code="needs_attention")
    assert give_up_payment(payment=payment, by="anna")
    shop.pay(pk)
    shop.notify("payment.succeeded", shop.provider_id(pk))
    shop.work()
    payment.refresh_from_db()
    assert payment.state == "succeeded"
    assert allowance_of(user=user).plan == "month"
    assert list(audit()) == []


def test_a_late_second_charge_of_a_period_is_granted_and_reported(shop: Shop, user: User) -> None:
    shop.buy(user)
    shop.fault("status", status=500, heard=True, times=1000)
    until = subscription_of(user).paid_until
    shop.pass_time(until - shop.now)
    shop.work()
    late = Payment.objects.get(kind="renewal")
    Payment.objects.filter(pk=late.pk).update(status=Job.Status.FAILED)
    assert give_up_payment(payment=late, by="anna")
    shop.clear_faults()
    shop.live(timedelta(days=2))
    reconcile(looks_back=timedelta(days=60))
    late.refresh_from_db()
    assert late.state == "succeeded"
    assert findings() == ["paid_twice"]
    assert Payment.objects.filter(kind="renewal", state="succeeded").count() == 2
    assert shop.earned() == 3 * ALL
    assert list(audit()) == []


def test_paid_there_and_unknown_here(shop: Shop, user: User) -> None:
    stranger = made_there(shop)
    shop.notify("payment.succeeded", stranger)
    shop.pass_time(timedelta(hours=1))
    shop.work()
    reconcile()
    reconcile()
    assert findings() == ["unknown_payment"]
    assert Finding.objects.get().subject == stranger
    assert not Entry.objects.exists()


def test_known_here_and_absent_there(shop: Shop, user: User) -> None:
    shop.buy(user)
    Payment.objects.update(provider_id="00000000-dead")
    shop.pass_time(timedelta(hours=1))
    reconcile()
    assert "absent_there" in findings()


def test_a_lost_notification_is_made_up_for_at_night(shop: Shop, user: User) -> None:
    pk = shop.check_out(user).json()["id"]
    shop.pay(pk)
    Payment.objects.update(status=Job.Status.FAILED, error_code="worker_lost")
    shop.pass_time(timedelta(hours=1))
    assert reconcile().mended == 1
    assert allowance_of(user=user).plan == "month"
    shop.live(timedelta(minutes=1))
    assert Payment.objects.get().status == Job.Status.DONE, "no dead letter any more"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"amount": {"value": "1.00", "currency": "RUB"}}, "amount_differs"),
        ({"metadata": {"payment": "another"}}, "belongs_to_another"),
        ({"metadata": None}, "belongs_to_another"),
    ],
)
def test_what_contradicts_our_row_grants_nothing(
    shop: Shop, user: User, change: dict[str, Any], kind: str
) -> None:
    pk = shop.check_out(user).json()["id"]
    shop.pay(pk)
    shop.fault("change", fields=change)
    shop.pass_time(timedelta(minutes=1))
    shop.work(rounds=1)
    assert findings() == [kind]
    assert not Subscription.objects.exists()
    assert not Entry.objects.exists()
    assert Message.objects.count() == 0, "the user is told nothing; administrators have no chat"


def test_a_live_shop_is_not_paid_with_test_cards(shop: Shop, user: User, settings: Any) -> None:
    pk = shop.check_out(user).json()["id"]
    settings.YOOKASSA_LIVE = True
    shop.pay(pk)
    shop.pass_time(timedelta(minutes=1))
    shop.work(rounds=1)
    assert findings() == ["test_payment"]
    assert not Subscription.objects.exists()
    assert not Entry.objects.exists()


def test_another_currency_is_no_answer(shop: Shop, user: User) -> None:
    pk = shop.check_out(user).json()["id"]
    shop.pay(pk)
    shop.fault("change", fields={"amount": {"value": "299.00", "currency": "USD"}})
    shop.pass_time(timedelta(minutes=1))
    shop.work(rounds=1)
    assert Payment.objects.get().state == "pending"
    assert not Entry.objects.exists()


def test_a_final_state_does_not_change(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    shop.fault("change", fields={"status": "canceled"})
    shop.notify("payment.canceled", str(payment.provider_id))
    shop.work(rounds=1)
    assert findings() == ["state_differs"]
    assert Payment.objects.get().state == "succeeded"
    assert allowance_of(user=user).plan == "month"


def test_two_payments_for_one_row(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    second = made_there(shop, payment=str(payment.pk))
    shop.notify("payment.succeeded", second)
    shop.work()
    assert findings() == ["second_payment"]
    assert Entry.objects.count() == 1


def test_more_refunded_there_than_here(shop: Shop, user: User) -> None:
    from apps.billing.gateway import NewRefund

    payment = shop.buy(user)
    new = NewRefund(payment=str(payment.provider_id), amount=Decimal("10.00"))
    made = shop.gateway.create_refund(new, key="by-hand")
    shop.pass_time(timedelta(hours=1))
    reconcile()
    assert findings() == ["refund_differs"]
    for _ in range(2):
        call_command("billing", "learn-refund", made.id)
    assert shop.earned() == ALL - 10 == payment.customer.ledger.aggregate(s=Sum("amount"))["s"]
    with pytest.raises(CommandError):
        call_command("billing", "learn-refund", "no-such-refund")


def test_a_saved_card_costs_nothing_and_is_kept_once(shop: Shop, user: User) -> None:
    client = client_of(user)
    for _ in range(2):
        asked = client.post(f"{ADDRESS}/method", {}, "application/json")
        assert asked.json()["amount"] == "1.00"
        shop.pay(asked.json()["id"])
        shop.notify("payment.succeeded", shop.provider_id(asked.json()["id"]))
        shop.live(timedelta(minutes=5))
        assert client.get(f"{ADDRESS}/method").json()["method"]["title"] == "Bank card *4477"
        assert shop.earned() == 0
    assert not Subscription.objects.exists()
    assert [entry.kind for entry in Entry.objects.order_by("number")] == ["charged", "refunded"] * 2
    assert list(audit()) == []


def test_who_leaves_is_not_charged_and_leaves_the_ledger_as_it_is(shop: Shop, user: User) -> None:
    shop.buy(user, contact="anna@example.com")
    open_one = shop.check_out(user, "year").json()["id"]
    before = list(Entry.objects.values())
    erase_billing(user)
    user.delete()
    shop.live(timedelta(days=40))
    assert list(Entry.objects.filter(number=1).values()) == before
    payment = Payment.objects.get(kind="checkout", version__plan="month")
    assert (payment.contact, payment.customer.contact, payment.customer.user) == ("", "", None)
    assert Subscription.objects.get().state == "expired"
    assert {method.provider_id for method in payment.customer.methods.all()} == {""}
    assert shop.earned() == ALL
    assert Payment.objects.get(pk=open_one).state == "canceled"
    assert list(audit()) == []


def test_what_the_provider_told_of_somebody_goes_with_them(shop: Shop, user: User) -> None:
    other = make_user()
    card = {"payment_method": {"card": {"first6": "555555", "last4": "4477"}}}
    bought = [shop.buy(user), shop.buy(other)]
    for payment in bought:
        shop.notify("payment.succeeded", str(payment.provider_id), **card)
        shop.notify("refund.succeeded", f"of-{payment.pk}", payment_id=payment.provider_id, **card)
        Refund.objects.create(
            payment=payment, amount=1, state="canceled", status="done",
            asked_at=shop.now, provider_id=f"of-{payment.pk}",
        )  # fmt: skip
    erase_billing(user)
    bodies = dict(Notification.objects.values_list("object_id", "body"))
    for payment, kept in zip(bought, (False, True), strict=True):
        for told in (str(payment.provider_id), f"of-{payment.pk}"):
            assert ("4477" in bodies[told], bool(bodies[told])) == (kept, kept)


def test_paid_by_somebody_who_has_left(shop: Shop, user: User) -> None:
    pk = shop.check_out(user).json()["id"]
    erase_billing(user)
    user.delete()
    shop.pay(pk)
    shop.live(timedelta(minutes=5))
    assert findings() == ["paid_without_user"]
    assert not Payment.objects.get().customer.methods.exists()
    assert list(audit()) == []


def test_a_provider_that_is_away_at_night_is_asked_later(shop: Shop, user: User) -> None:
    shop.fault("status", status=500, times=1000)
    with pytest.raises(CommandError):
        call_command("billing", "reconcile")


def test_an_operator_settles_findings(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    made_there(shop)
    shop.pass_time(timedelta(hours=1))
    call_command("billing", "reconcile", "--days", "1")
    finding = Finding.objects.get()
    assert f"{finding.pk}  " in capsys.readouterr().out
    call_command("billing", "settle", str(finding.pk), "--by", "anna")
    finding.refresh_from_db()
    assert finding.settled_by == "anna"
    with pytest.raises(CommandError):
        call_command("billing", "settle", str(finding.pk), "--by", "boris")
    capsys.readouterr()
    call_command("billing", "findings")
    assert capsys.readouterr().out == ""


def test_the_weeks_digest_is_told_once(shop: Shop, user: User, settings: Any) -> None:
    settings.ADMIN_CHAT_IDS = [77]
    payment = shop.buy(user)
    from apps.billing.refunds import request_refund

    request_refund(payment_id=payment.pk, amount=Decimal("100.00"), why="asked", by="anna")
    made_there(shop)
    shop.live(timedelta(hours=1))
    reconcile()
    shop.pass_time(timedelta(days=7))
    week = week_before(shop.now)
    assert (week.begins.isoweekday(), week.ends - week.begins) == (1, timedelta(days=7))
    assert (week.paid, week.payments, week.refunded, week.refunds) == (ALL, 1, Decimal(100), 1)
    assert week.open_findings == 1
    send_digest()
    send_digest()
    shop.pass_time(timedelta(hours=20))
    send_digest()
    digests = Message.objects.filter(chat_id=77, text__contains="Paid: 299.00 ₽ in 1 payments")
    assert digests.count() == 1


def test_the_digest_goes_out_once_a_week_whoever_was_down(
    shop: Shop, user: User, settings: Any
) -> None:
    """BEGINNING is a Tuesday. Beat is down until Thursday of the week after."""
    settings.ADMIN_CHAT_IDS = [77]
    shop.buy(user)
    digests = Message.objects.filter(chat_id=77, text__startswith="Billing, 09.03.2026 to 15.03")
    shop.pass_time(timedelta(days=9))
    for _ in range(3):  # beats, and minutes
        periods.tick(shop.now)
    week = Period.objects.get(name="billing.digest")
    assert digests.count() == 0
    # One worker dies after the digest is written, another is told twice.
    send_digest()
    for _ in range(2):
        run_job(Period, str(week.pk), periods.run_period)
    week.refresh_from_db()
    assert (week.status, digests.count()) == (Job.Status.DONE, 1)
    assert "Paid: 299.00 ₽ in 1 payments" in digests.get().text
    shop.pass_time(timedelta(days=3))
    assert periods.tick(shop.now) == len(periods._routines) - 1, "the nightly ones alone"
    shop.pass_time(timedelta(days=1))
    periods.tick(shop.now)
    assert Period.objects.filter(name="billing.digest").count() == 2
