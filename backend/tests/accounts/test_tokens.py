"""Access tokens: believed while signed, fresh, their login open and their owner active."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.core import signing
from django.test import Client

from apps.accounts.models import Session, User
from tests.http import log_in, make_user, problem
from tests.processes import BACKEND

pytestmark = pytest.mark.django_db

DIARY = "/api/v1/diary/2026-01-01"
HOUR = 3600


def ask(authorization: str | None) -> Any:
    headers = {} if authorization is None else {"Authorization": authorization}
    return Client().get(DIARY, headers=headers)


def access_of(user: User) -> str:
    return log_in(user).access


def issued(user: User, ago: float) -> str:
    """A token issued so many seconds ago."""
    then = time.time() - ago
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.core.signing.time.time", lambda: then)
        return access_of(user)


def tampered(user: User) -> str:
    claims, rest = access_of(user).split(":", 1)
    other, _ = access_of(make_user()).split(":", 1)
    assert claims != other
    return f"{other}:{rest}"


def signed_otherwise(user: User) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "SECRET_KEY", "x" * 50)
        return access_of(user)


def of_a_deleted_user(user: User) -> str:
    token = access_of(user)
    user.delete()
    return token


def of_a_closed_login(user: User) -> str:
    token = access_of(user)
    Session.objects.filter(user=user).delete()
    access_of(user)
    return token


def of_an_inactive_user(user: User) -> str:
    User.objects.filter(pk=user.pk).update(is_active=False)
    return access_of(user)


NOT_BELIEVED: dict[str, Callable[[User], str | None]] = {
    "missing": lambda user: None,
    "empty": lambda user: "",
    "no token": lambda user: "Bearer",
    "blank token": lambda user: "Bearer  ",
    "garbage": lambda user: "Bearer a:b:c",
    "not ASCII": lambda user: "Bearer \xff\xfe",
    "NUL": lambda user: "Bearer \0",
    "very long": lambda user: "Bearer " + "a:" * 50_000,
    "another scheme": lambda user: f"Basic {access_of(user)}",
    "bare": access_of,
    "tampered": lambda user: f"Bearer {tampered(user)}",
    "cut": lambda user: f"Bearer {access_of(user)[:-1]}",
    "expired": lambda user: f"Bearer {issued(user, HOUR + 5)}",
    "refresh token": lambda user: f"Bearer {log_in(user).refresh}",
    "of before there were logins": lambda user: (
        "Bearer " + signing.dumps({"user": user.pk}, salt="accounts.access")
    ),
    "other key": lambda user: f"Bearer {signed_otherwise(user)}",
    "closed login": lambda user: f"Bearer {of_a_closed_login(user)}",
    "inactive user": lambda user: f"Bearer {of_an_inactive_user(user)}",
    "deleted user": lambda user: f"Bearer {of_a_deleted_user(user)}",
}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_says_who_asks(user: User, scheme: str) -> None:
    assert ask(f"{scheme} {access_of(user)}").status_code == 200
    assert ask(f"{scheme} {issued(user, HOUR - 5)}").status_code == 200


@pytest.mark.parametrize("case", NOT_BELIEVED)
def test_what_is_not_believed_is_told_to_log_in(user: User, case: str) -> None:
    response = ask(NOT_BELIEVED[case](user))
    problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.content == ask(None).content


def test_tokens_live_as_long_as_is_told() -> None:
    assert settings.ACCESS_TOKEN_LIFETIME == HOUR


def test_nobody_logs_in_without_telegram_here() -> None:
    response = Client().post(
        "/api/v1/auth/development", {"telegram_id": 1}, content_type="application/json"
    )
    problem(response, 404, "not_found")
    assert not User.objects.exists()


PATHS = """
import django
django.setup()
from config.api import api
print(*api.get_openapi_schema()["paths"])
"""


@pytest.mark.parametrize(("module", "there"), [("local", True), ("production", False)])
def test_development_login_is_a_route_of_local_settings_alone(
    module: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", f"config.settings.{module}")
    paths = subprocess.run(
        [sys.executable, "-c", PATHS], cwd=BACKEND, check=True, capture_output=True, text=True
    ).stdout.split()
    assert "/api/v1/auth/telegram" in paths
    assert ("/api/v1/auth/development" in paths) is there
