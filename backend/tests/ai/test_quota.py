"""What a user may have, and what all may cost together: never more, and given back when due."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.models import User
from apps.ai.models import ProviderCall, Recognition
from apps.ai.quota import MOST_IN_FLIGHT, quota_of
from apps.jobs.services import retry_dead_letter
from tests.ai.asking import ask, asked, attempt, cancel, failed, quota, recognized, settled, used
from tests.http import at_once, client_of, make_user, problem
from tests.sandbox.requests import log, order

pytestmark = pytest.mark.django_db


FREE = 30


def spend(user: User, times: int, **fields: Any) -> None:
    """As if so many had been delivered this month."""
    Recognition.objects.bulk_create(
        Recognition(user=user, text="x", language="ru", status="done", **fields)
        for _ in range(times)
    )


def test_a_new_user_has_the_free_allowance(eater: Client) -> None:
    told = quota(eater)
    assert (told["plan"], told["recognitions"]) == ("free", FREE)
    assert (told["reserved"], told["spent"], told["left"]) == (0, 0, FREE)
    begins, renews = (datetime.fromisoformat(told[name]) for name in ("begins", "renews_at"))
    assert begins <= timezone.now() < renews


@pytest.mark.usefixtures("foods")
def test_asking_reserves_and_delivering_spends(eater: Client) -> None:
    pk = asked(eater)
    assert used(eater) == (1, 0)
    settled(pk)
    assert used(eater) == (0, 1)
    recognized(eater, "зюзя")
    assert used(eater) == (0, 2), "nothing to count is an answer"


def test_what_failed_is_given_back_and_reserved_again_when_retried(eater: Client) -> None:
    pk = failed(eater)
    assert used(eater) == (0, 0)
    with_attempts = Recognition.objects.get(pk=pk)
    assert retry_dead_letter(job=with_attempts, by="operator")
    assert used(eater) == (1, 0)


def test_used_up_it_is_refused_with_what_can_be_done(user: User, eater: Client) -> None:
    spend(user, FREE - 1)
    asked(eater, "rice")
    for _ in range(3):
        body = problem(ask(eater, "eggs"), 403, "quota_exceeded")
    assert body["actions"] == ["upgrade", "wait"]
    assert body["detail"]
    renews = datetime.fromisoformat(quota(eater)["renews_at"])
    assert body["retry_after"] == pytest.approx((renews - timezone.now()).total_seconds(), abs=30)
    assert Recognition.objects.filter(text="eggs").count() == 0
    assert used(eater) == (1, FREE - 1)


def test_others_and_other_months_do_not_count(user: User, eater: Client) -> None:
    spend(make_user(), FREE)
    spend(user, FREE, created_at=quota_of(user).allowance.begins - timedelta(hours=1))
    assert used(eater) == (0, 0)
    asked(eater)


def test_only_so_many_at_a_time(eater: Client) -> None:
    pks = [asked(eater, f"{number} г риса") for number in range(1, MOST_IN_FLIGHT + 1)]
    response = ask(eater, "eggs")
    body = problem(response, 429, "too_many_in_flight")
    assert response.headers["Retry-After"] == str(body["retry_after"])
    assert body["retryable"] is True
    cancel(eater, pks[0])
    asked(eater, "eggs")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("left", "accepted"), [(1, 1), (2, 2), (FREE, 3)])
def test_many_at_once_never_overspend(left: int, accepted: int) -> None:
    user = make_user()
    spend(user, FREE - left)
    texts = iter([f"{number} г риса" for number in range(8)])
    responses = at_once(8, lambda: ask(client_of(user), next(texts)))
    statuses = Counter(response.status_code for response in responses)
    assert statuses[202] == accepted == Recognition.objects.filter(status="pending").count()
    assert set(statuses) <= {202, 403, 429}
    assert used(client_of(user)) == (accepted, FREE - left)


class TestDailyLimit:
    """For everybody together, in dollars, by the day of UTC."""

    @staticmethod
    def cost(dollars: str, **fields: Any) -> None:
        ProviderCall.objects.create(
            model="m", outcome="answered", milliseconds=1, cost_usd=Decimal(dollars), **fields
        )

    def test_reached_it_refuses_until_midnight(self, eater: Client, model: httpx.Client) -> None:
        self.cost("9.99999999")
        pk = asked(eater, "soup")
        self.cost("0.00000001")
        response = ask(eater, "bread")
        body = problem(response, 503, "daily_limit_reached")
        midnight = (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        left = (midnight - datetime.now(UTC)).total_seconds()
        assert int(response.headers["Retry-After"]) == body["retry_after"]
        assert body["retry_after"] == pytest.approx(left, abs=30)
        assert body["actions"] == ["wait"]
        row = attempt(pk)
        assert (row.status, row.error_code) == ("failed", "daily_limit_reached")
        assert log(model, "openrouter") == []
        assert used(eater) == (0, 0)

    def test_yesterday_does_not_count(self, eater: Client, model: httpx.Client) -> None:
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.cost("100", created_at=today - timedelta(seconds=1))
        assert settled(asked(eater, "soup")).status == "done"

    def test_what_was_not_told_counts_nothing(self, eater: Client, model: httpx.Client) -> None:
        ProviderCall.objects.create(model="m", outcome="provider_timeout", milliseconds=1)
        assert settled(asked(eater, "soup")).status == "done"

    @pytest.mark.usefixtures("foods")
    def test_what_costs_nothing_is_not_limited(self, eater: Client) -> None:
        self.cost("100")
        recognized(eater)

    def test_it_can_be_nothing(
        self, eater: Client, model: httpx.Client, settings: Settings
    ) -> None:
        settings.AI_DAILY_LIMIT_USD = 0
        problem(ask(eater, "soup"), 503, "daily_limit_reached")


class TestKnown:
    """The same again is answered at once, and takes nothing."""

    def test_to_the_same_user(self, eater: Client, model: httpx.Client) -> None:
        first = settled(asked(eater, "soup in the dark"))
        response = ask(eater, "soup in the dark")
        assert response.status_code == 202
        assert "Retry-After" not in response.headers
        again = response.json()
        assert again["id"] != str(first.pk)
        shown = eater.get(response.headers["Location"]).json()
        assert shown == again
        assert (again["status"], again["outcome"]) == ("done", "unsure")
        assert [item["name"] for item in again["items"]] == ["soup in the dark"]
        assert len(log(model, "openrouter")) == ProviderCall.objects.count() == 1
        assert used(eater) == (0, 1)

    def test_with_the_quota_used_up(self, user: User, eater: Client, model: httpx.Client) -> None:
        settled(asked(eater, "soup"))
        spend(user, FREE)
        assert ask(eater, "soup").json()["status"] == "done"

    def test_not_to_another_user_nor_in_another_language_nor_of_another_model(
        self, eater: Client, model: httpx.Client, settings: Settings
    ) -> None:
        settled(asked(eater, "soup"))
        assert ask(client_of(make_user()), "soup").json()["status"] == "pending"
        assert ask(eater, "soup", **{"Accept-Language": "en"}).json()["status"] == "pending"
        settings.AI_MODEL = "another/model"
        assert ask(eater, "soup").json()["status"] == "pending"

    def test_not_what_failed_nor_what_is_open(self, eater: Client, model: httpx.Client) -> None:
        order(model, "content_filter")
        assert settled(asked(eater, "soup")).status == "failed"
        asked(eater, "soup")
        assert ask(eater, "soup").json()["status"] == "pending"

    def test_each_can_be_a_meal(self, eater: Client, model: httpx.Client) -> None:
        pks = [settled(asked(eater, "soup")).pk, UUID(ask(eater, "soup").json()["id"])]
        meals = {eater.post(f"/api/v1/recognitions/{pk}/accept").json()["id"] for pk in pks}
        assert len(meals) == 2


class TestIdempotencyKey:
    def test_the_same_again_is_the_same(self, eater: Client) -> None:
        first, again = (ask(eater, "rice", **{"Idempotency-Key": "k-1"}) for _ in range(2))
        assert first.status_code == again.status_code == 202
        assert first.json() == again.json()
        assert first.headers["Location"] == again.headers["Location"]
        assert used(eater) == (1, 0)

    @pytest.mark.usefixtures("foods")
    def test_it_shows_how_far_it_is_by_now(self, eater: Client) -> None:
        key = {"Idempotency-Key": "k-1"}
        pk = UUID(ask(eater, "150 г риса", **key).json()["id"])
        settled(pk)
        again = ask(eater, "150 г риса", **key).json()
        assert (again["id"], again["status"]) == (str(pk), "done")
        assert again["items"]

    def test_with_other_content_it_is_refused(self, eater: Client) -> None:
        ask(eater, "rice", **{"Idempotency-Key": "k-1"})
        response = ask(eater, "eggs", **{"Idempotency-Key": "k-1"})
        problem(response, 422, "idempotency_key_reused")
        assert Recognition.objects.get().text == "rice"

    def test_it_is_the_users_own(self, eater: Client) -> None:
        keys = {"Idempotency-Key": "k-1"}
        other = client_of(make_user())
        assert ask(eater, "rice", **keys).json()["id"] != ask(other, "rice", **keys).json()["id"]

    def test_it_holds_beyond_the_quota(self, user: User, eater: Client) -> None:
        first = ask(eater, "rice", **{"Idempotency-Key": "k-1"})
        spend(user, FREE)
        assert ask(eater, "rice", **{"Idempotency-Key": "k-1"}).json() == first.json()

    @pytest.mark.parametrize("key", ["", " ", "two words", "x" * 256, "ключ"])
    def test_nonsense_is_refused(self, eater: Client, key: str) -> None:
        problem(ask(eater, "rice", **{"Idempotency-Key": key}), 422, "invalid_request")
        assert not Recognition.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_many_at_once_are_one(self) -> None:
        user = make_user()
        responses = at_once(8, lambda: ask(client_of(user), "rice", **{"Idempotency-Key": "k-1"}))
        assert [response.status_code for response in responses] == [202] * 8
        assert len({response.json()["id"] for response in responses}) == 1
        assert Recognition.objects.count() == 1


class TestCanceling:
    def test_what_waits_is_given_back(self, eater: Client) -> None:
        pk = asked(eater)
        shown = cancel(eater, pk)
        assert shown.status_code == 200
        body = shown.json()
        assert (body["status"], body["error"]["code"]) == ("failed", "canceled")
        assert used(eater) == (0, 0)
        row = Recognition.objects.get(pk=pk)
        assert row.handled_by == "user", "no dead letter"
        assert attempt(pk).attempts == 0, "nobody does it"

    def test_what_waits_for_another_try_is_given_back(
        self, eater: Client, model: httpx.Client
    ) -> None:
        order(model, "status", status=500)
        pk = asked(eater, "soup")
        attempt(pk)
        cancel(eater, pk)
        assert used(eater) == (0, 0)

    def test_twice_is_once(self, eater: Client) -> None:
        pk = asked(eater)
        assert cancel(eater, pk).json() == cancel(eater, pk).json()

    @pytest.mark.usefixtures("foods")
    def test_what_has_ended_stays_as_it_is(self, eater: Client) -> None:
        for pk in (recognized(eater), failed(eater)):
            before = Recognition.objects.values().get(pk=pk)
            problem(cancel(eater, pk), 409, "recognition_settled")
            assert Recognition.objects.values().get(pk=pk) == before

    def test_no_operator_opens_it_again(self, eater: Client) -> None:
        pk = asked(eater)
        cancel(eater, pk)
        assert not retry_dead_letter(job=Recognition.objects.get(pk=pk), by="operator")

    @pytest.mark.django_db(transaction=True)
    def test_a_call_under_way_is_paid_for_and_its_answer_dropped(self, model: httpx.Client) -> None:
        user = make_user()
        client = client_of(user)
        order(model, "latency", seconds=1)
        pk = asked(client, "soup")

        def work() -> str:
            attempt(pk)
            return ""

        def interrupt() -> str:
            while not log(model, "openrouter"):
                pass
            return str(cancel(client, pk).json()["error"]["code"])

        todo = iter([work, interrupt])
        assert sorted(at_once(2, lambda: next(todo)())) == ["", "canceled"]
        row = Recognition.objects.get(pk=pk)
        assert (row.status, row.error_code, row.items.count()) == ("failed", "canceled", 0)
        assert ProviderCall.objects.get(recognition=row).cost_usd
        assert used(client) == (0, 1)


def test_a_call_for_somebody_who_is_gone_is_still_paid_for(
    user: User, eater: Client, model: httpx.Client
) -> None:
    settled(asked(eater, "soup"))
    user.delete()
    call = ProviderCall.objects.get()
    assert call.recognition is None
    assert call.cost_usd
