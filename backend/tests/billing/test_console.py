"""Staff in the console: what they see, refund, retry and settle, and who may not."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from apps.accounts.models import User
from apps.billing.models import Finding, Notification, Payment, Refund
from apps.jobs.models import Job
from tests.billing.shop import Shop

SAID = {"amount": "100.00", "why": "did not like it"}


def staff(*permissions: str, username: str = "anna") -> Client:
    user = User.objects.create(username=username, is_staff=True)
    user.set_password("a long password")
    user.save()
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    answer = client.post(
        "/console/login/?next=/console/", {"username": username, "password": "a long password"}
    )
    assert answer.status_code == 302
    return client


def address(payment: Payment) -> str:
    return f"/console/billing/payment/{payment.pk}/refund/"


def test_a_refund_is_asked_for_confirmed_and_made(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    client = staff("view_payment", "add_refund")
    look = client.get(f"/console/billing/payment/{payment.pk}/change/")
    assert address(payment) in look.content.decode()
    asked = client.post(address(payment), SAID)
    assert "Give 100.00 ₽ back?" in asked.content.decode()
    assert not Refund.objects.exists()
    assert client.post(address(payment), {**SAID, "confirmed": "1"}).status_code == 302
    shop.work()
    refund = Refund.objects.get()
    assert (refund.state, refund.asked_by, refund.why) == ("succeeded", "anna", "did not like it")
    assert shop.earned() == Decimal("199.00")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"amount": "299.01", "why": "x"}, "more than is left"),
        ({"amount": "0.00", "why": "x"}, "0,01"),
        ({"amount": "1.00", "why": ""}, "required"),
        ({"amount": "a lot", "why": "x"}, "errorlist"),
    ],
)
def test_what_makes_no_sense_is_not_refunded(
    shop: Shop, user: User, said: dict[str, str], words: str
) -> None:
    payment = shop.buy(user)
    answer = staff("add_refund").post(address(payment), {**said, "confirmed": "1"})
    assert answer.status_code == 200
    assert words in answer.content.decode() or "errorlist" in answer.content.decode()
    assert not Refund.objects.exists()


def test_who_may_not_refund_does_not(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    client = staff("view_payment")
    assert (
        "refund/"
        not in client.get(f"/console/billing/payment/{payment.pk}/change/").content.decode()
    )
    assert client.post(address(payment), {**SAID, "confirmed": "1"}).status_code == 403
    assert Client().post(address(payment), {**SAID, "confirmed": "1"}).status_code == 302
    assert not Refund.objects.exists()


def test_a_forged_form_is_refused(shop: Shop, user: User) -> None:
    payment = shop.buy(user)
    trusted = staff("add_refund")
    client = Client(enforce_csrf_checks=True)
    client.cookies = trusted.cookies
    assert client.post(address(payment), {**SAID, "confirmed": "1"}).status_code == 403
    assert not Refund.objects.exists()


def test_dead_letters_are_retried_and_dismissed_by_name(shop: Shop) -> None:
    for _ in range(2):
        shop.notify("payment.succeeded", f"no-such-{_}")
    shop.work()
    first, second = Notification.objects.order_by("object_id")
    assert {first.status, second.status} == {Job.Status.FAILED}
    listing = "/console/billing/notification/"

    def act(client: Client, action: str, job: Notification) -> Any:
        return client.post(listing, {"action": action, "_selected_action": str(job.pk)})

    act(staff("view_notification", username="boris"), "retry", first)
    first.refresh_from_db()
    assert first.status == Job.Status.FAILED, "to look is not to handle"
    client = staff("view_notification", "change_notification")
    assert "no-such-0" in client.get(f"{listing}?dead=1").content.decode()
    act(client, "retry", first)
    act(client, "dismiss", second)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, first.handled_by) == (Job.Status.PENDING, "anna")
    assert (second.status, second.handled_by) == (Job.Status.FAILED, "anna")


def test_findings_are_settled_by_name(shop: Shop) -> None:
    finding = Finding.objects.create(kind="unknown_payment", subject="x", detail="y")
    client = staff("view_finding", "change_finding")
    client.post(
        "/console/billing/finding/", {"action": "settle", "_selected_action": str(finding.pk)}
    )
    finding.refresh_from_db()
    assert finding.settled_by == "anna"


@pytest.mark.parametrize(
    "page",
    ["payment", "refund", "notification", "finding", "entry", "subscription", "term", "customer",
     "planversion"],
)  # fmt: skip
def test_every_page_is_to_be_looked_at_alone(shop: Shop, user: User, page: str) -> None:
    shop.buy(user)
    root = User.objects.create(username="root", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(root)
    assert client.get(f"/console/billing/{page}/").status_code == 200
    assert client.get(f"/console/billing/{page}/?q=x").status_code in (200, 302)
    assert client.get(f"/console/billing/{page}/add/").status_code == 403
    if page == "entry":
        entry = user.customer.ledger.get()
        assert (
            client.post(f"/console/billing/entry/{entry.pk}/delete/", {"post": "yes"}).status_code
            == 403
        )
        assert (
            client.post(f"/console/billing/entry/{entry.pk}/change/", {"amount": 1}).status_code
            == 403
        )
        assert user.customer.ledger.count() == 1


def test_a_person_of_the_product_is_not_let_in(shop: Shop, user: User) -> None:
    client = Client()
    client.force_login(user)
    assert client.get("/console/billing/payment/").status_code == 302
