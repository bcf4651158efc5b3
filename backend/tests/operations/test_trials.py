"""Whether a secret is believed: told by whoever has to believe it, and the secret by nobody."""

import io
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command

from apps.operations import trials
from sandbox.embedded import free_port

FORMER, OTHER = "123456:former-secret-0123456789", "123456:other-secret-0123456789"

Try = Callable[[str, str, str], str]


@pytest.fixture
def attempt(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> Try:
    """What the command says. Nothing it does may tell the secret."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, name)

    def run(where: str, name: str, secret: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{secret}\n"))
        said = io.StringIO()
        told = ""
        try:
            call_command("try_secret", where, name, stdout=said)
            told = said.getvalue()
        except CommandError as error:
            told = f"untold: {error}"
        everything = told + "".join(record.getMessage() for record in caplog.records)
        assert not secret or secret not in everything
        return told.strip()

    return run


@pytest.fixture
def outside(sandbox: str, settings: Any) -> str:
    settings.TELEGRAM_API_URL = f"{sandbox}/telegram"
    settings.YOOKASSA_API_URL = f"{sandbox}/yookassa/v3"
    settings.YOOKASSA_SHOP_ID = "100500"
    settings.OPENROUTER_URL = settings.AI_URL = f"{sandbox}/openrouter/api/v1"
    return sandbox


@pytest.mark.parametrize("name", ["SECRET_KEY", "TELEGRAM_BOT_TOKEN"])
def test_ours_are_believed_while_they_are_current_or_a_fallback(
    attempt: Try, settings: Any, name: str
) -> None:
    setattr(settings, f"{name}_FALLBACKS", [FORMER])
    assert attempt("here", name, getattr(settings, name)) == "believed"
    assert attempt("here", name, FORMER) == "believed"
    assert attempt("here", name, OTHER) == "refused"
    setattr(settings, f"{name}_FALLBACKS", [])
    assert attempt("here", name, FORMER) == "refused"


@pytest.mark.django_db(transaction=True)
def test_the_webhook_is_asked_over_http(
    attempt: Try, settings: Any, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "BACKEND", live_server.url)
    name = "TELEGRAM_BOT_API_SECRET"
    settings.TELEGRAM_BOT_API_SECRET = OTHER.replace(":", "-")
    settings.TELEGRAM_BOT_API_SECRET_FALLBACKS = [FORMER]
    assert attempt("here", name, settings.TELEGRAM_BOT_API_SECRET) == "believed"
    assert attempt("here", name, FORMER) == "believed"
    settings.TELEGRAM_BOT_API_SECRET_FALLBACKS = []
    assert attempt("here", name, FORMER) == "refused"
    monkeypatch.setattr(trials, "BACKEND", f"http://127.0.0.1:{free_port()}")
    assert attempt("here", name, FORMER).startswith("untold: ")


def test_a_database_that_is_away_says_nothing_of_a_password(
    attempt: Try, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attempt("here", "POSTGRES_PASSWORD", "postgres:any") == "believed", "by this socket"
    database = settings.DATABASES["default"]
    monkeypatch.setitem(database, "HOST", "127.0.0.1")
    monkeypatch.setitem(database, "PORT", free_port())
    assert attempt("here", "POSTGRES_PASSWORD", "postgres:any-secret").startswith("untold: ")


@pytest.mark.parametrize(
    ("name", "service", "refusal"),
    [
        ("TELEGRAM_BOT_TOKEN", "telegram", 401),
        ("TELEGRAM_BOT_TOKEN", "telegram", 404),
        ("YOOKASSA_SECRET_KEY", "yookassa", 401),
        ("OPENROUTER_API_KEY", "openrouter", 401),
        ("AI_PROXY_SECRET", "openrouter", 401),
        ("AI_PROXY_SECRET", "openrouter", 403),
    ],
)
def test_a_provider_believes_refuses_or_says_nothing(
    attempt: Try, outside: str, name: str, service: str, refusal: int
) -> None:
    def order(kind: str, **parameters: Any) -> None:
        fault = {"service": service, "kind": kind, **parameters}
        assert httpx.post(f"{outside}/_faults", json=fault, timeout=10).status_code == 201

    assert attempt("there", name, FORMER) == "believed"
    order("status", status=refusal)
    assert attempt("there", name, FORMER) == "refused"
    for status in (429, 500):
        order("status", status=status)
        assert attempt("there", name, FORMER).startswith("untold: ")
    order("reset")
    assert attempt("there", name, FORMER).startswith("untold: ")
    assert attempt("there", name, FORMER) == "believed"


def test_a_proxy_that_is_none_says_nothing(attempt: Try, outside: str, settings: Any) -> None:
    settings.AI_URL = f"{outside}/nothing"
    assert attempt("there", "AI_PROXY_SECRET", FORMER).startswith("untold: ")


def test_without_a_secret_nobody_is_asked(attempt: Try) -> None:
    assert attempt("there", "TELEGRAM_BOT_TOKEN", "") == (
        "untold: give the secret on standard input"
    )
