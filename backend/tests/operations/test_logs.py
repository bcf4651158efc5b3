"""Logs: an object a line that says who and what, and never what a client sent."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory

from apps.ai.models import Recognition
from config.logs import JsonFormatter, current, log_context, logging_config
from tests.http import client_of, make_user

SECRET = "hunter2"


class Logged:
    """A logger whose lines can be read."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(JsonFormatter("abc123"))
        # Outside the hierarchy, so that pytest's own handlers leave it alone.
        self.logger = logging.Logger("apps.kitchen", logging.DEBUG)  # noqa: LOG001
        self.logger.addHandler(self.handler)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    def line(self) -> dict[str, Any]:
        """The one line that was written."""
        assert self.text.endswith("\n")
        (only,) = self.text[:-1].split("\n")
        line: dict[str, Any] = json.loads(only)
        return line


@pytest.fixture
def logged() -> Logged:
    return Logged()


@pytest.fixture
def everything() -> Iterator[Logged]:
    """All that any logger says while the test runs, formatted as in production."""
    logged = Logged()
    root = logging.getLogger()
    level = root.level
    root.addHandler(logged.handler)
    root.setLevel(logging.DEBUG)
    yield logged
    root.setLevel(level)
    root.removeHandler(logged.handler)


def secret_request() -> HttpRequest:
    return RequestFactory().get(
        "/", {"initData": SECRET}, headers={"Authorization": f"Bearer {SECRET}"}
    )


def test_a_line_says_when_how_grave_who_and_what(logged: Logged) -> None:
    logged.logger.warning("the soup is %s", "cold")
    line = logged.line()
    assert abs(datetime.now(UTC) - datetime.fromisoformat(line.pop("ts"))) < timedelta(seconds=5)
    assert line == {
        "level": "WARNING",
        "logger": "apps.kitchen",
        "event": "the soup is cold",
        "release": "abc123",
    }


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", '"quoted"', "Яйцо\t🍎", "\x00\x1b[31m", "%s", "", "\u2028"]
)
def test_whatever_the_text_it_is_one_line(logged: Logged, text: str) -> None:
    logged.logger.info(text, extra={"also": text})
    assert (logged.line()["event"], logged.line()["also"]) == (text, text)


def test_the_context_is_on_every_line_inside_and_none_outside(logged: Logged) -> None:
    with log_context(request_id="r-1", user_id="7"), log_context(job="j-1", request_id="r-2"):
        logged.logger.info("inside")
    line = logged.line()
    assert (line["request_id"], line["user_id"], line["job"]) == ("r-2", "7", "j-1")
    assert current("request_id") == ""


def test_the_context_ends_with_an_exception_too() -> None:
    with pytest.raises(ZeroDivisionError), log_context(request_id="r-1"):
        raise ZeroDivisionError
    assert current("request_id") == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *((1, 1), (1.5, 1.5), (None, None), ("x", "x"), (["a"], ["a"]), ({"a": 1}, {"a": 1})),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00+00:00"),
        (ValueError("no"), "no"),
    ],
)
def test_extra_fields_are_on_the_line(logged: Logged, value: object, shown: object) -> None:
    logged.logger.info("x", extra={"seconds": value})
    assert logged.line()["seconds"] == shown


def test_an_exception_is_told_whole_on_the_same_line(logged: Logged) -> None:
    try:
        raise ValueError("no\nsoup")
    except ValueError:
        logged.logger.exception("it failed")
    line = logged.line()
    assert (line["event"], line["level"]) == ("it failed", "ERROR")
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: no\nsoup")


@pytest.mark.parametrize("field", ["request", "response", "data", "sql", "params"])
def test_what_may_hold_headers_or_texts_is_withheld(logged: Logged, field: str) -> None:
    value = secret_request() if field == "request" else {"Authorization": SECRET}
    logged.logger.error("it failed", extra={field: value, "status_code": 500})
    assert logged.line()["status_code"] == 500
    assert field not in logged.line()
    assert SECRET not in logged.text


@pytest.mark.django_db
def test_what_a_client_sent_is_never_logged(everything: Logged) -> None:
    client = Client(headers={"Authorization": f"Bearer {SECRET}", "Cookie": f"a={SECRET}"})
    client.get("/api/v1/diary/2026-01-01")
    client.get("/nowhere", {"initData": SECRET})
    for body in ({"init_data": SECRET}, {"init_data": [SECRET]}):
        client.post("/api/v1/auth/telegram", body, content_type="application/json")
    client.post("/api/v1/auth/telegram", SECRET, content_type="application/json")
    eater = client_of(make_user())
    eater.post("/api/v1/recognitions", {"text": SECRET}, content_type="application/json")
    assert "login refused" in everything.text
    assert "Unprocessable" in everything.text
    assert [line for line in everything.text.splitlines() if SECRET in line] == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        *(("a1b2c3d4", True), ("A-b_c.9-0", True), ("x" * 64, True)),
        *(("", False), ("short-7", False), ("x" * 65, False), ("x" * 10_000, False)),
        *(("has space", False), ("has\tabcd", False), ("два-слова", False), ('"quoted"', False)),
        *(("a1b2c3d4\r\nSet-Cookie: a=b", False), ("a1b2c3d4\n", False), ("{a1b2c3d4}", False)),
    ],
)
@pytest.mark.django_db
def test_a_request_id_is_echoed_and_reaches_the_job(given: str, kept: bool) -> None:
    eater = client_of(make_user())
    response = eater.post(
        "/api/v1/recognitions",
        {"text": "рис"},
        content_type="application/json",
        headers={"X-Request-ID": given},
    )
    answered = response.headers["X-Request-ID"]
    assert (answered == given) is kept
    assert 8 <= len(answered) <= 64
    assert answered.replace("-", "").replace("_", "").replace(".", "").isalnum()
    assert Recognition.objects.get().request_id == answered


def test_every_request_has_an_id_of_its_own(client: Client) -> None:
    ids = {client.get("/health/live/").headers["X-Request-ID"] for _ in range(5)}
    assert len(ids) == 5
    assert client.get("/nowhere").headers["X-Request-ID"]
    assert current("request_id") == ""


def test_the_request_id_is_on_the_lines_of_the_request(
    client: Client, everything: Logged, db: None
) -> None:
    client.post(
        "/api/v1/auth/telegram",
        {"init_data": "x"},
        content_type="application/json",
        headers={"X-Request-ID": "a1b2c3d4"},
    )
    lines = [json.loads(line) for line in everything.text.splitlines()]
    (refused,) = [line for line in lines if line["event"] == "login refused"]
    assert refused["request_id"] == "a1b2c3d4"


def test_loggers_that_tell_urls_are_quiet() -> None:
    config = logging_config(level="DEBUG", json=True, release="abc123")
    for name in ("httpx", "httpcore"):
        assert config["loggers"][name]["level"] == "WARNING"
    assert config["handlers"]["stderr"]["formatter"] == "json"
