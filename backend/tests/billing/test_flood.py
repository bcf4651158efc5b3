"""Real processes: a flood of notifications into dying workers, and a provider that is slow."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.db.models.functions import Now
from django.utils import timezone

from apps.billing.audit import audit
from apps.billing.gateway import Gateway, NewPayment
from apps.billing.models import Customer, Entry, Notification, Payment, Subscription
from apps.billing.plans import ensure_catalogue, version_for_sale
from apps.billing.yookassa import YooKassa, configured
from apps.jobs.models import Job
from tests.billing.shop import ADDRESS, PROVIDER
from tests.http import StartServer, client_of, make_user
from tests.processes import StartWorker, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

SHOP = {"YOOKASSA_SHOP_ID": "100500", "YOOKASSA_SECRET_KEY": "secret"}


@pytest.fixture
def gateway(sandbox: str, settings: Any) -> Iterator[Gateway]:
    """The provider in a process of its own, as this one sees it."""
    settings.YOOKASSA_API_URL = f"{sandbox}/yookassa/v3"
    settings.YOOKASSA_SHOP_ID = SHOP["YOOKASSA_SHOP_ID"]
    settings.YOOKASSA_SECRET_KEY = SHOP["YOOKASSA_SECRET_KEY"]
    configured.cache_clear()
    yield configured()
    configured.cache_clear()


# One for all: to make a client takes longer than to ask.
http = httpx.Client(timeout=3600, trust_env=False)


def direct(sandbox: str, path: str, **body: Any) -> Any:
    answer = http.post(f"{sandbox}/yookassa/{path}", json=body)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def paid_unnoticed(number: int, gateway: Gateway, sandbox: str) -> None:
    """So many customers who have paid, and we were told nothing yet."""
    version = version_for_sale(code="month")
    customers = Customer.objects.bulk_create(Customer() for _ in range(number))
    payments = [
        Payment(
            customer=customer,
            kind=Payment.Kind.CHECKOUT,
            version=version,
            amount=version.price,
            asked_at=timezone.now(),
            sent_at=timezone.now(),
            # Not to be polled while the test lasts.
            run_after=timezone.now() + timedelta(days=1),
            ring_after=timezone.now() + timedelta(days=1),
        )
        for customer in customers
    ]

    def pay(payment: Payment) -> None:
        new = NewPayment(
            amount=payment.amount,
            description="a month",
            metadata={"payment": str(payment.pk)},
            return_url="https://eatfit24.example/app",
        )
        payment.provider_id = gateway.create_payment(new, key=payment.idempotence_key).id
        direct(sandbox, f"_pay/{payment.provider_id}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(pay, payments))
    Payment.objects.bulk_create(payments)


def test_a_flood_is_applied_once_though_half_the_workers_die(
    gateway: Gateway,
    sandbox: str,
    start_server: StartServer,
    start_worker: StartWorker,
    start_beat: Callable[..., Any],
    long: bool,
) -> None:
    ensure_catalogue()
    number = 10_000 if long else 150
    _, backend = start_server(workers=2)
    where = {
        "url": f"{backend.base_url}{ADDRESS}/yookassa/notifications",
        "headers": {"X-Forwarded-For": PROVIDER},
    }
    direct(sandbox, "_notifications", mode="hold", **where)
    paid_unnoticed(number, gateway, sandbox)
    start_beat()
    shop = {**SHOP, "YOOKASSA_API_URL": f"{sandbox}/yookassa/v3"}
    workers = [start_worker("billing", **shop) for _ in range(4 if long else 2)]
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(direct, sandbox, "_flush", order="shuffled", times=2, senders=16)
        done = Notification.objects.filter(status=Job.Status.DONE)
        wait_for(lambda: done.count() >= number // 10, "a tenth is applied", seconds=600)
        for worker in workers[: len(workers) // 2]:
            worker.kill()
        killed_at = done.count()
        sent = flood.result()["sent"]
    assert [one["answered"] for one in sent] == [200] * (2 * number)
    # The leases of the dead, and some of the living: what they do twice happens once.
    Notification.objects.filter(status=Job.Status.RUNNING).update(
        lease_until=Now(), ring_after=Now()
    )
    wait_for(lambda: done.count() == number, "all are applied", seconds=1800 if long else 120)
    assert killed_at < number
    assert set(Notification.objects.values_list("times", flat=True)) == {2}
    assert Payment.objects.filter(state="succeeded").count() == number
    assert Entry.objects.count() == Subscription.objects.count() == number
    assert list(audit()) == []
    books = http.get(f"{sandbox}/yookassa/_books").json()
    assert Decimal(books["captured"]) == number * Decimal("299.00")


def test_a_provider_that_hangs_holds_no_request_and_is_paid_through_once(
    gateway: YooKassa, sandbox: str, start_worker: StartWorker, start_beat: Callable[..., Any]
) -> None:
    ensure_catalogue()
    client = client_of(make_user())
    order = {"service": "yookassa", "kind": "latency", "seconds": 60}
    assert http.post(f"{sandbox}/_faults", json=order).status_code == 201
    started = time.monotonic()
    answer = client.post(f"{ADDRESS}/checkout", {"plan": "month"}, "application/json")
    assert answer.status_code == 202
    assert time.monotonic() - started < 30, "the provider takes a minute; 5 s are waited"
    start_beat()
    start_worker("billing", **SHOP, YOOKASSA_API_URL=f"{sandbox}/yookassa/v3")
    look = answer.headers["Location"]
    shown = wait_for(lambda: client.get(look).json()["confirmation_url"], "the address", 60)
    assert shown.startswith(sandbox)
    direct(sandbox, f"_pay/{shown.rpartition('/')[2]}")
    client.post(f"{look}/check")
    wait_for(lambda: client.get(look).json()["state"] == "succeeded", "paid", 60)
    assert client.get(f"{ADDRESS}/subscription").json()["state"] == "active"
    books = http.get(f"{sandbox}/yookassa/_books").json()
    assert len(books["payments"]) == 1, "the same key"
