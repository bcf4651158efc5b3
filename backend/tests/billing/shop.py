"""A shop to test in: the provider in this process, one clock for all, and workers by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import time_machine
from django.db.models import DurationField, ExpressionWrapper, F, Q
from django.db.models.functions import Now
from django.test import Client

from apps.accounts.models import User
from apps.billing import tasks
from apps.billing.models import Notification, Payment, Refund, Subscription
from apps.billing.renewals import first_due
from apps.billing.subscriptions import turn_subscriptions
from apps.billing.yookassa import YooKassa
from apps.jobs.models import Job
from sandbox.in_process import InProcess
from tests.http import client_of

ADDRESS = "/api/v1/billing"
PROVIDER = "185.71.76.1"
JOBS: tuple[tuple[type[Job], Any], ...] = (
    (Payment, tasks.settle_payment),
    (Refund, tasks.settle_refund),
    (Notification, tasks.settle_notification),
)
BEGINNING = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


class Shop:
    """Time stands still but for `pass_time`; nothing is done but by `work`."""

    def __init__(self, traveller: Any) -> None:
        self._traveller = traveller
        self.wire = InProcess()
        self.direct = httpx.Client(transport=self.wire, base_url="http://sandbox/yookassa")
        self.gateway = YooKassa(
            shop_id="100500",
            secret_key="secret",
            url="http://sandbox/yookassa/v3",
            transport=self.wire,
        )

    # Time

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def pass_time(self, by: timedelta) -> None:
        """For us and for the provider. The database's clock goes on, so jobs come nearer."""
        self._traveller.shift(by)
        for model, _ in JOBS:
            model._default_manager.filter(status__in=Job.OPEN).update(
                run_after=F("run_after") - by,
                lease_until=F("lease_until") - by,
                ring_after=F("ring_after") - by,
            )

    def work(self, rounds: int = 10) -> None:
        """Do what is due, as workers and beat would, until nothing is."""
        for _ in range(rounds):
            turned = turn_subscriptions()
            done = sum(self._do_due(model, task) for model, task in JOBS)
            if not turned and not done:
                return

    @staticmethod
    def _do_due(model: type[Job], task: Any) -> int:
        due = Q(status=Job.Status.PENDING, run_after__lte=Now()) | Q(
            status=Job.Status.RUNNING, lease_until__lte=Now()
        )
        jobs = list(model._default_manager.filter(due).values_list("pk", flat=True))
        for pk in jobs:
            task(str(pk))
        return len(jobs)

    def live(self, through: timedelta) -> None:
        """Let time pass, and work at each moment at which there is something to do."""
        ends = self.now + through
        self.work()
        while self.now < ends:
            self.pass_time(min(self._to_next_event(), ends - self.now))
            self.work()

    def _to_next_event(self) -> timedelta:
        waits = [
            left
            for model, _ in JOBS
            for left in model._default_manager.filter(status=Job.Status.PENDING)
            .annotate(left=ExpressionWrapper(F("run_after") - Now(), DurationField()))
            .values_list("left", flat=True)
        ]
        waits += [
            moment - self.now
            for moment in Subscription.objects.values_list("next_at", flat=True)
            if moment
        ]
        return max(min(waits, default=timedelta(days=400)), timedelta(seconds=1))

    # The provider

    def pay(self, payment: str, **how: Any) -> dict[str, Any]:
        return self._direct(f"/_pay/{self.provider_id(payment)}", how)

    def decline(self, payment: str, reason: str) -> dict[str, Any]:
        return self._direct(f"/_decline/{self.provider_id(payment)}", {"reason": reason})

    def charges(self, **how: Any) -> None:
        self._direct("/_charges", how)

    def refunds(self, **how: Any) -> None:
        self._direct("/_refunds", how)

    def fault(self, kind: str, **order: Any) -> None:
        order = {"service": "yookassa", "kind": kind, **order}
        answer = httpx.Client(transport=self.wire).post("http://sandbox/_faults", json=order)
        assert answer.status_code == 201, answer.text

    def clear_faults(self) -> None:
        httpx.Client(transport=self.wire).delete("http://sandbox/_faults")

    def books(self) -> dict[str, Any]:
        books: dict[str, Any] = self.direct.get("/_books").json()
        return books

    def earned(self) -> Decimal:
        books = self.books()
        return Decimal(books["captured"]) - Decimal(books["refunded"])

    def asked(self, method: str, path: str) -> int:
        """How often the provider was asked that way."""
        entries = self.wire.world.journal.entries("yookassa")
        return sum(
            entry["method"] == method and entry["path"].startswith(path) for entry in entries
        )

    def provider_id(self, payment: str) -> str:
        """By our id or the provider's own."""
        for booked in self.books()["payments"]:
            if payment in (booked["id"], booked["metadata"].get("payment")):
                return str(booked["id"])
        raise LookupError(payment)

    def _direct(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.direct.post(path, json=body)
        assert answer.status_code in (200, 204), answer.text
        shown: dict[str, Any] = answer.json() if answer.content else {}
        return shown

    # Who comes in

    def notify(self, event: str, object_id: str, *, sender: str = PROVIDER, **more: Any) -> Any:
        body = {"type": "notification", "event": event, "object": {"id": object_id, **more}}
        return Client().post(
            f"{ADDRESS}/yookassa/notifications", body, "application/json", REMOTE_ADDR=sender
        )

    def check_out(self, user: User, plan: str = "month", **wishes: Any) -> Any:
        body = {"plan": plan, **wishes}
        return client_of(user).post(f"{ADDRESS}/checkout", body, "application/json")

    def buy(self, user: User, plan: str = "month", **wishes: Any) -> Payment:
        """Check out, pay at the provider, and have it noticed."""
        answer = self.check_out(user, plan, **wishes)
        assert answer.status_code == 200, answer.content
        self.pay(answer.json()["id"])
        self.pass_time(timedelta(minutes=1))
        self.work()
        return Payment.objects.get(pk=answer.json()["id"])


def subscription_of(user: User) -> Subscription:
    return Subscription.objects.get(customer__user=user)


def renewals() -> list[Payment]:
    return list(Payment.objects.filter(kind="renewal").order_by("asked_at"))


def approach(shop: Shop, user: User) -> None:
    """To a moment before the first attempt."""
    shop.pass_time(first_due(subscription_of(user)) - shop.now - timedelta(minutes=1))
    shop.work()
    assert not renewals()


@contextmanager
def open_shop(monkeypatch: Any) -> Iterator[Shop]:
    """The clock stands at BEGINNING, and the gateway leads to a provider in this process."""
    with time_machine.travel(BEGINNING, tick=False) as traveller:
        shop = Shop(traveller)
        monkeypatch.setattr("apps.billing.yookassa.configured", lambda: shop.gateway)
        yield shop
