"""How often somebody may: the same for all processes, and never in the way of a lost Redis."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.accounts.limits import SAFE_METHODS, Limit, take
from apps.accounts.models import User
from apps.jobs import broker
from config.api import api
from config.settings.base import RATE_LIMITS
from sandbox.embedded import Redis
from tests.http import StartServer, at_once, client_of, make_user, problem

LOGIN = "/api/v1/auth/telegram"
WRITE = "/api/v1/recognitions"
SLOW = 3600
"""Seconds in which a bucket is full again: none comes back during a test."""


@pytest.fixture(autouse=True)
def _listening() -> Iterator[None]:
    broker.listen_again()
    yield
    broker.listen_again()


@pytest.fixture
def few(settings: Any) -> None:
    settings.RATE_LIMITS = {"login": (3, SLOW), "write": (3, SLOW)}


def log_in(address: str = "203.0.113.7") -> Any:
    return Client(REMOTE_ADDR=address).post(LOGIN, {"init_data": ""}, "application/json")


def write(client: Client) -> Any:
    return client.post(WRITE, {"text": ""}, "application/json")


def statuses(answers: list[Any]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


# ---- What is counted


def test_as_many_as_are_allowed_and_not_one_more_however_they_come() -> None:
    limit = Limit("test", 20, SLOW)
    waits = [
        wait for waits in at_once(8, lambda: [take(limit, "a") for _ in range(5)]) for wait in waits
    ]
    assert waits.count(0.0) == 20
    assert all(SLOW / 20 - 60 < wait <= SLOW / 20 for wait in waits if wait)


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=30), st.integers(1, 8))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_has_their_own(order: list[str], allowed: int) -> None:
    limit = Limit(f"test-{uuid4()}", allowed, SLOW)
    served = Counter(who for who in order if take(limit, who) == 0.0)
    assert served == {who: min(times, allowed) for who, times in Counter(order).items()}


def test_they_come_back_one_by_one_by_the_clock_of_redis(redis_server: Redis) -> None:
    limit = Limit("test", 4, 40)
    assert [take(limit, "a") for _ in range(4)] == [0.0] * 4
    assert 0 < take(limit, "a") <= 10
    # As if 10 s had gone by.
    client = redis.Redis(port=redis_server.port)
    (key,) = client.keys("eatfit24:limit:test:a")
    assert 0 < client.pttl(key) <= 40_000, "what is full again is forgotten"
    client.decrby(key, 10_000_000)
    assert take(limit, "a") == 0.0
    assert 0 < take(limit, "a") <= 10


def test_what_was_refused_is_not_counted() -> None:
    limit = Limit("test", 1, SLOW)
    take(limit, "a")
    first, *_, last = [take(limit, "a") for _ in range(50)]
    assert last <= first


# ---- What is limited


@pytest.mark.django_db
@pytest.mark.usefixtures("few")
def test_logins_are_counted_by_address() -> None:
    assert statuses([log_in() for _ in range(5)]) == {401: 3, 429: 2}
    body = problem(log_in(), 429, "rate_limited")
    assert body["detail"]
    assert 0 < int(log_in().headers["Retry-After"]) <= SLOW / 3
    assert log_in("203.0.113.8").status_code == 401
    assert log_in("2001:db8::1").status_code == 401
    assert statuses([log_in(f"2001:db8::{n}") for n in range(2, 5)]) == {401: 2, 429: 1}
    assert log_in("2001:db8:0:1::1").status_code == 401


@pytest.mark.django_db
@pytest.mark.usefixtures("few")
def test_a_client_cannot_have_another_address_by_saying_so() -> None:
    def claiming(number: int) -> Any:
        headers = {"X-Forwarded-For": f"198.51.100.{number}"}
        return Client(REMOTE_ADDR="203.0.113.7", headers=headers).post(
            LOGIN, {"init_data": ""}, "application/json"
        )

    assert statuses([claiming(number) for number in range(5)]) == {401: 3, 429: 2}


@pytest.mark.usefixtures("few")
def test_writes_are_counted_by_person_and_reads_are_not(user: User) -> None:
    phone, tablet = client_of(user), client_of(user)
    assert statuses([write(client) for client in (phone, tablet) * 2]) == {422: 3, 429: 1}
    assert write(client_of(make_user())).status_code == 422
    days = [phone.get("/api/v1/diary/2026-01-01") for _ in range(5)]
    assert statuses(days) == {200: 5}


UNLIMITED: dict[tuple[str, str], str] = {}
"""Routes that may change something as often as they are asked, and why."""


def write_routes() -> list[tuple[str, str]]:
    return [
        (method.upper(), path)
        for path, methods in api.get_openapi_schema()["paths"].items()
        for method in methods
        if method.upper() not in SAFE_METHODS
    ]


def any_address(method: str, template: str) -> str:
    """An address of the route, whatever it is of: its ids are UUIDs or numbers."""
    operation = api.get_openapi_schema()["paths"][template][method.lower()]
    values = {
        parameter["name"]: uuid4() if parameter["schema"].get("format") == "uuid" else 1
        for parameter in operation.get("parameters", [])
    }
    return template.format(**values)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("route", write_routes(), ids=" ".join)
def test_every_route_that_changes_something_is_limited(user: User, route: tuple[str, str]) -> None:
    """Whatever is asked: a limit comes before the question is read."""
    method, template = route
    path = any_address(method, template)
    answers = [
        client_of(user).generic(method, path, "{", content_type="application/json")
        for _ in range(4)
    ]
    if route in UNLIMITED:
        assert 429 not in statuses(answers)
        return
    assert 429 not in statuses(answers[:3])
    problem(answers[3], 429, "rate_limited")
    assert int(answers[3].headers["Retry-After"]) > 0


# ---- Several processes


@pytest.mark.django_db(transaction=True)
def test_two_processes_count_together(start_server: StartServer, user: User) -> None:
    allowed, seconds = RATE_LIMITS["write"]
    _, client = start_server(workers=2)
    headers = {"Authorization": client_of(user).defaults["HTTP_AUTHORIZATION"]}

    def post() -> httpx.Response:
        return client.post(WRITE, json={"text": ""}, headers=headers)

    started = time.monotonic()
    answers = [a for some in at_once(8, lambda: [post() for _ in range(15)]) for a in some]
    came_back = (time.monotonic() - started) * allowed / seconds
    served = statuses(answers)
    assert served[422] + served[429] == 120
    assert allowed <= served[422] <= allowed + came_back + 1
    assert all(int(a.headers["Retry-After"]) >= 1 for a in answers if a.status_code == 429)


@pytest.mark.django_db(transaction=True)
def test_behind_a_proxy_people_are_told_apart(start_server: StartServer) -> None:
    allowed, _ = RATE_LIMITS["login"]
    _, client = start_server()

    def log_in_from(address: str) -> int:
        headers = {"X-Forwarded-For": address}
        return client.post(LOGIN, json={"init_data": ""}, headers=headers).status_code

    assert Counter(log_in_from("203.0.113.7") for _ in range(allowed)) == {401: allowed}
    assert 429 in [log_in_from("203.0.113.7") for _ in range(10)]
    assert log_in_from("203.0.113.8") == 401


# ---- Without Redis


@pytest.mark.django_db
@pytest.mark.usefixtures("few")
def test_without_redis_everybody_is_served(
    redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    assert statuses([log_in() for _ in range(4)]) == {401: 3, 429: 1}
    redis_server.stop()
    try:
        assert statuses([log_in() for _ in range(20)]) == {401: 20}
    finally:
        redis_server.start()
    assert caplog.text.count("nobody is limited") == 1, "the rest do not ask"
    assert log_in().status_code == 401, "still quiet"
    broker.listen_again()
    assert statuses([log_in() for _ in range(4)]) == {401: 3, 429: 1}, "counted anew"


@pytest.mark.django_db
@pytest.mark.usefixtures("few")
def test_a_frozen_redis_is_waited_for_once(
    redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    log_in()
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        assert statuses([log_in() for _ in range(10)]) == {401: 10}
    finally:
        redis_server.process.send_signal(signal.SIGCONT)
    assert caplog.text.count("nobody is limited") == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("few")
def test_a_redis_that_refuses_is_as_one_that_is_away(redis_server: Redis) -> None:
    client = redis.Redis(port=redis_server.port)
    client.lpush("eatfit24:limit:login:203.0.113.7", "not a number")
    assert log_in().status_code == 401
    broker.listen_again()
    client.delete("eatfit24:limit:login:203.0.113.7")
    client.config_set("maxmemory", 1)
    try:
        assert log_in().status_code == 401
    finally:
        client.config_set("maxmemory", 0)


@pytest.mark.django_db
@pytest.mark.usefixtures("few")
def test_a_redis_that_restarted_between_requests_costs_nobody_anything(
    redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    log_in()
    redis_server.stop()
    redis_server.start()
    assert statuses([log_in() for _ in range(4)]) == {401: 3, 429: 1}
    assert "nobody is limited" not in caplog.text
