"""Whatever happens, in whatever order: quota spent is results delivered, and cost is calls made.

People ask, models fail, workers die, owners cancel, operators retry. What is compared is what
the API shows of each recognition, what it says of the quota, and what the sandbox was asked.
"""

import threading
from collections import Counter
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.db import connections
from django.db.models import F
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from apps.accounts.models import User
from apps.ai.models import Circuit, ProviderCall, Recognition
from apps.ai.tasks import recognize
from apps.billing.queries import allowance_of
from apps.jobs.services import retry_dead_letter
from tests.ai.asking import ask, attempt, cancel, look, used
from tests.http import client_of, make_user
from tests.processes import wait_for
from tests.sandbox.requests import log, order

pytestmark = pytest.mark.django_db(transaction=True)

FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 500}),
    ("status", {"status": 429, "retry_after": 1}),
    ("status", {"status": 429, "retry_after": 3600}),
    ("status", {"status": 502, "html": "<h1>Bad gateway</h1>"}),
    ("status", {"status": 402}),
    ("status", {"status": 404}),
    ("error_in_200", {"code": 502}),
    ("finish_error", {}),
    ("content_filter", {}),
    ("cut_off", {}),
    ("wrong_schema", {}),
    ("reset", {}),
]
TEXTS = ["soup", "bread and butter", "a table", "in the dark", "empty plate"]
LEFT = 4
PEOPLE = 2

people = st.integers(0, PEOPLE - 1)
which = st.integers(0, 7)
faults = st.none() | st.sampled_from(FAULTS)
STEPS = st.one_of(
    st.tuples(st.just("ask"), people, st.sampled_from(TEXTS), st.sampled_from(["", "k1", "k2"])),
    st.tuples(st.just("work"), which, faults),
    st.tuples(st.just("work"), which, faults),
    st.tuples(st.just("cancel"), which),
    st.tuples(st.just("cancel_under_way"), which),
    st.tuples(st.just("lose_the_worker"), which),
    st.tuples(st.just("retry"), which),
    st.tuples(st.just("time_passes")),
)


class Story:
    """A few people and what they asked for; told step by step, and checked after each."""

    def __init__(self, model: httpx.Client) -> None:
        self.model = model
        model.delete("/_log")
        model.delete("/_faults")
        Circuit.objects.all().delete()
        ProviderCall.objects.all().delete()
        Recognition.objects.all().delete()
        self.clients = [self.newcomer() for _ in range(PEOPLE)]
        # By id: whose it is.
        self.asked: dict[UUID, int] = {}
        self.known: set[UUID] = set()
        self.canceled_under_way: set[UUID] = set()
        self.reopened = False

    @staticmethod
    def newcomer() -> tuple[User, Client]:
        """Somebody who has had all but LEFT of their allowance."""
        user = make_user()
        Recognition.objects.bulk_create(
            Recognition(user=user, text="x", language="ru", status="done")
            for _ in range(allowance_of(user=user).recognitions - LEFT)
        )
        return user, client_of(user)

    def pick(self, number: int, *statuses: str) -> UUID | None:
        there = [
            pk
            for pk in self.asked
            if Recognition.objects.filter(pk=pk, status__in=statuses).exists()
        ]
        return there[number % len(there)] if there else None

    def ask(self, person: int, text: str, key: str) -> None:
        _, client = self.clients[person]
        response = ask(client, text, **({"Idempotency-Key": key} if key else {}))
        assert response.status_code in (202, 403, 422, 429), response.content
        if response.status_code == 202:
            body = response.json()
            pk = UUID(body["id"])
            if pk not in self.asked and body["status"] == "done":
                self.known.add(pk)
            self.asked[pk] = person

    def work(self, number: int, fault: tuple[str, dict[str, Any]] | None) -> None:
        if fault:
            order(self.model, fault[0], **fault[1])
        if pk := self.pick(number, "pending"):
            attempt(pk)
        self.model.delete("/_faults")

    def cancel(self, number: int) -> None:
        if (pk := self.pick(number, "pending", "done", "failed")) is None:
            return
        before = Recognition.objects.get(pk=pk)
        response = cancel(self.clients[self.asked[pk]][1], pk)
        settled = before.status != "pending" and before.error_code != "canceled"
        assert response.status_code == (409 if settled else 200)

    def cancel_under_way(self, number: int) -> None:
        pk = self.pick(number, "pending")
        if pk is None or Circuit.objects.filter(open_until__isnull=False).exists():
            return
        seen = len(log(self.model, "openrouter"))
        order(self.model, "latency", seconds=0.1)

        def work() -> None:
            try:
                attempt(pk)
            finally:
                connections.close_all()

        worker = threading.Thread(target=work)
        worker.start()
        wait_for(lambda: len(log(self.model, "openrouter")) > seen, "the call is under way")
        assert cancel(self.clients[self.asked[pk]][1], pk).status_code == 200
        self.canceled_under_way.add(pk)
        worker.join()

    def lose_the_worker(self, number: int) -> None:
        if pk := self.pick(number, "pending"):
            Recognition.objects.filter(pk=pk).update(
                status="running",
                attempts=F("max_attempts"),
                handed_back=0,
                lease_until="2026-01-01T00:00Z",
            )
            recognize(str(pk))
            assert Recognition.objects.get(pk=pk).error_code == "worker_lost"

    def retry(self, number: int) -> None:
        if pk := self.pick(number, "failed"):
            row = Recognition.objects.get(pk=pk)
            again = retry_dead_letter(job=row, by="operator")
            assert again is (row.error_code != "canceled")
            self.reopened = self.reopened or again

    def time_passes(self) -> None:
        Circuit.objects.filter(open_until__isnull=False).update(open_until="2026-01-01T00:00Z")

    def check(self) -> None:
        for person, (user, client) in enumerate(self.clients):
            mine = [pk for pk, owner in self.asked.items() if owner == person]
            shown = {pk: look(client, pk).json() for pk in mine}
            states = Counter(body["status"] for pk, body in shown.items() if pk not in self.known)
            delivered = states["done"] + len(self.canceled_under_way & set(mine))
            whole = allowance_of(user=user).recognitions
            reserved, spent = used(client)
            assert (reserved, spent) == (
                states["pending"] + states["running"],
                whole - LEFT + delivered,
            )
            # An operator may be more generous than the plan.
            assert reserved + spent <= whole or self.reopened
            for pk, body in shown.items():
                assert (body["error"] is None) is (body["status"] != "failed")
                assert (body["outcome"] is None) is (body["status"] != "done"), pk
                if body["status"] != "done":
                    assert body["items"] == []
        self.check_costs()

    def check_costs(self) -> None:
        calls = list(ProviderCall.objects.select_related("recognition"))
        assert len(calls) == len(log(self.model, "openrouter"))
        of_text: dict[str, set[Decimal]] = {}
        for call in calls:
            assert call.recognition
            if call.outcome == "answered":
                assert call.cost_usd
            if call.cost_usd is not None:
                of_text.setdefault(call.recognition.text, set()).add(call.cost_usd)
        assert all(len(costs) == 1 for costs in of_text.values()), "the same call costs the same"
        assert {call.recognition_id for call in calls}.isdisjoint(self.known)
        done = Recognition.objects.filter(pk__in=self.asked, status="done")
        answered = {call.recognition_id for call in calls if call.outcome == "answered"}
        assert set(done.values_list("pk", flat=True)) - self.known <= answered


@settings(
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=3, max_size=10))
def test_quota_spent_is_results_delivered(
    model: httpx.Client, settings: Settings, steps: list[tuple[Any, ...]]
) -> None:
    # None of these people is in such haste as hypothesis.
    settings.RATE_LIMITS = dict.fromkeys(settings.RATE_LIMITS, (1_000_000, 1))
    story = Story(model)
    for name, *arguments in steps:
        getattr(story, name)(*arguments)
        story.check()
