"""Every fault there is, through every part there is: HTTP, PostgreSQL, Redis, a worker, a model."""

from datetime import timedelta
from itertools import chain, zip_longest
from typing import Any

import httpx
import pytest
from django.db.models.functions import Now
from django.test import Client
from pytest_django import Settings

from apps.ai.models import Circuit, ProviderCall, Recognition
from apps.jobs.broker import listen_again, ring
from apps.messaging.models import Message
from tests.ai.asking import asked, look, used
from tests.ai.conftest import KEY
from tests.ai.test_openrouter import FINAL, POOR, UNAVAILABLE
from tests.http import client_of, make_user
from tests.processes import Process, StartWorker, wait_for
from tests.sandbox.requests import log, order

pytestmark = pytest.mark.django_db(transaction=True)

Case = tuple[str, dict[str, Any], str]

# What passes and what does not by turns, so that the circuit stays closed.
CASES: list[Case] = [
    case for case in chain(*zip_longest(UNAVAILABLE + POOR, FINAL + FINAL)) if case is not None
]
PAID = ("cut_off", "wrong_schema", "finish_error", "content_filter")
"""What was generated before it went wrong costs."""


@pytest.fixture
def worker(model: httpx.Client, settings: Settings, start_worker: StartWorker) -> Process:
    """One that asks the sandbox, and gives it a second."""
    listen_again()
    return start_worker(
        "ai",
        AI_PROVIDER=settings.AI_PROVIDER,
        AI_MODEL=settings.AI_MODEL,
        AI_TIMEOUT_SECONDS="1",
        OPENROUTER_BASE_URL=settings.AI_URL,
        OPENROUTER_API_KEY=KEY,
        ADMIN_CHAT_IDS="77",
    )


def first_try(model: httpx.Client, client: Client, case: Case) -> Recognition:
    """Ask, and meet the fault; the row once that is over."""
    kind, more, _ = case
    order(model, kind, **more)
    pk = asked(client, "soup 300 g")

    def tried() -> Recognition | None:
        return Recognition.objects.filter(pk=pk, attempts=1).exclude(status="running").first()

    row: Recognition = wait_for(tried, f"a try that meets {kind} {more}")
    # Its next try shall not meet what is ordered for another.
    Recognition.objects.filter(pk=pk).update(run_after=Now() + timedelta(hours=1))
    return row


def test_every_fault(model: httpx.Client, worker: Process) -> None:
    everybody: list[tuple[Case, Client, Recognition]] = []
    for case in CASES:
        client = client_of(make_user())
        row = first_try(model, client, case)
        final = case in FINAL
        assert (row.status, row.error_code) == ("failed" if final else "pending", case[2]), case
        assert used(client) == (int(not final), 0)
        everybody.append((case, client, row))

    for _, _, row in everybody:
        Recognition.objects.filter(pk=row.pk, status="pending").update(run_after=Now())
        ring(row)
    wait_for(
        lambda: not Recognition.objects.filter(status__in=Recognition.OPEN).exists(),
        "all have come to their end",
    )
    for case, client, row in everybody:
        kind, _, code = case
        shown = look(client, row.pk).json()
        calls = list(ProviderCall.objects.filter(recognition=row).order_by("pk"))
        if case in FINAL:
            assert (shown["status"], shown["error"]["code"]) == ("failed", code)
            assert (shown["items"], shown["outcome"]) == ([], None)
            assert used(client) == (0, 0)
            assert [call.outcome for call in calls] == [code]
        else:
            assert (shown["status"], shown["error"]) == ("done", None)
            assert [item["name"] for item in shown["items"]] == ["soup"]
            assert used(client) == (0, 1)
            assert [call.outcome for call in calls] == [code, "answered"]
        assert bool(calls[0].cost_usd) is (kind in PAID), case
    assert ProviderCall.objects.count() == len(log(model, "openrouter"))
    assert len(set(ProviderCall.objects.filter(cost_usd__gt=0).values_list("cost_usd"))) == 1

    said = sorted(Message.objects.filter(chat_id=77).values_list("text", flat=True))
    assert [text.rpartition(":")[0] for text in said] == [
        "The AI provider refuses our key",
        "The account at the AI provider is out of credit",
    ]
    assert KEY not in worker.output()
    assert worker.popen.poll() is None


def test_a_dead_provider_is_left_alone_and_found_again(
    model: httpx.Client, worker: Process
) -> None:
    """Sixteen meals wait, none is lost, and none of their tries is spent."""
    order(model, "status", status=503, times=1000)
    people = [client_of(make_user()) for _ in range(16)]
    pks = [asked(client, "soup 300 g") for client in people]
    away = Recognition.objects.filter(status="pending", error_code="provider_away")

    def all_wait() -> bool:
        for row in Recognition.objects.filter(status="pending").exclude(error_code="provider_away"):
            Recognition.objects.filter(pk=row.pk, status="pending").update(run_after=Now())
            ring(row)
        return away.count() == 16

    wait_for(all_wait, "all wait for the circuit")
    asked_so_far = len(log(model, "openrouter"))
    assert asked_so_far < 16
    model.delete("/_faults")
    Circuit.objects.update(open_until=Now())

    def all_done() -> bool:
        for row in Recognition.objects.filter(status="pending", run_after__gt=Now()):
            Recognition.objects.filter(pk=row.pk, status="pending").update(run_after=Now())
            ring(row)
        return Recognition.objects.filter(pk__in=pks, status="done").count() == 16

    wait_for(all_done, "all are done")
    assert [used(client) for client in people] == [(0, 1)] * 16
    assert len(log(model, "openrouter")) == asked_so_far + 16
