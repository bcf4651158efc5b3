"""A provider that is dead costs a query, and is found again by itself."""

from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from django.db.models.functions import Now
from django.test import Client
from pytest_django import Settings

from apps.ai import circuit
from apps.ai.models import Circuit, ProviderCall, Recognition
from apps.ai.services import PATIENCE
from apps.jobs.errors import NotYet
from tests.ai.asking import asked, attempt, settled, used
from tests.http import at_once, client_of, make_user
from tests.sandbox.requests import log, order

pytestmark = pytest.mark.django_db


def let_it_close() -> None:
    Circuit.objects.update(open_until=Now() - timedelta(seconds=1))


def open_it(model: httpx.Client) -> None:
    """By as many failures of other people's meals."""
    order(model, "status", status=500, times=circuit.THRESHOLD)
    for _ in range(circuit.THRESHOLD):
        attempt(asked(client_of(make_user()), "soup"))


def attempts_spent(pk: UUID) -> int:
    row = Recognition.objects.get(pk=pk)
    return row.attempts - row.handed_back


def test_it_opens_after_failures_in_a_row(eater: Client, model: httpx.Client) -> None:
    open_it(model)
    pk = asked(eater, "bread")
    for _ in range(20):
        row = attempt(pk)
        assert (row.status, row.error_code) == ("pending", "provider_away")
    assert attempts_spent(pk) == 0
    assert used(eater) == (1, 0)
    assert len(log(model, "openrouter")) == circuit.THRESHOLD, "it was left alone"
    assert ProviderCall.objects.count() == circuit.THRESHOLD


def test_an_answer_between_failures_keeps_it_closed(model: httpx.Client) -> None:
    for _ in range(3):
        order(model, "status", status=500, times=circuit.THRESHOLD - 1)
        for _ in range(circuit.THRESHOLD - 1):
            attempt(asked(client_of(make_user()), "soup"))
        settled(asked(client_of(make_user()), "soup"))


def test_a_refusal_is_an_answer(model: httpx.Client) -> None:
    order(model, "status", status=402, times=10)
    for _ in range(10):
        assert attempt(asked(client_of(make_user()), "soup")).status == "failed"
    assert len(log(model, "openrouter")) == 10


def test_a_probe_that_is_answered_closes_it(eater: Client, model: httpx.Client) -> None:
    open_it(model)
    waiting = [asked(eater, words) for words in ("bread", "tea")]
    for pk in waiting:
        attempt(pk)
    let_it_close()
    assert [settled(pk).status for pk in waiting] == ["done", "done"]
    assert Circuit.objects.get().failures == 0
    assert used(eater) == (0, 2)


def test_a_probe_that_fails_keeps_it_open(eater: Client, model: httpx.Client) -> None:
    open_it(model)
    pk = asked(eater, "bread")
    let_it_close()
    order(model, "status", status=500)
    assert attempt(pk).error_code == "provider_error"
    assert attempt(pk).error_code == "provider_away"
    assert attempts_spent(pk) == 1, "the probe's"
    let_it_close()
    assert attempt(pk).status == "done"


@pytest.mark.django_db(transaction=True)
def test_one_probes_and_the_others_wait(model: httpx.Client) -> None:
    open_it(model)
    let_it_close()

    def enter() -> bool:
        try:
            circuit.enter("openrouter")
        except NotYet:
            return False
        return True

    assert sorted(at_once(8, enter)) == [False] * 7 + [True]
    let_it_close()  # the probe died
    assert sorted(at_once(8, enter)) == [False] * 7 + [True]


def test_nobody_waits_for_ever(eater: Client, model: httpx.Client) -> None:
    open_it(model)
    pk = asked(eater, "bread")
    attempt(pk)
    Recognition.objects.filter(pk=pk).update(created_at=Now() - PATIENCE)
    row = attempt(pk)
    assert (row.status, row.error_code) == ("failed", "provider_away")
    assert used(eater) == (0, 0)


@pytest.mark.usefixtures("foods")
def test_words_are_read_here_whatever_the_circuit(
    eater: Client, model: httpx.Client, settings: Settings
) -> None:
    open_it(model)
    settings.AI_PROVIDER = "local"
    assert attempt(asked(eater, "150 г риса")).status == "done"
