"""Logins: refreshed turn by turn, ended by a logout, and by a refresh token that comes twice."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.accounts.models import Session, User
from apps.accounts.services import remove_old_sessions
from apps.jobs import periods
from tests.accounts.test_login import init_data
from tests.http import at_once, log_in, make_user, problem

pytestmark = pytest.mark.django_db

AUTH = "/api/v1/auth"
DIARY = "/api/v1/diary/2026-01-01"


def believed(access: str) -> bool:
    status = Client().get(DIARY, headers={"Authorization": f"Bearer {access}"}).status_code
    assert status in (200, 401)
    return status == 200


def refresh(token: Any) -> Any:
    return Client().post(f"{AUTH}/refresh", {"refresh_token": token}, "application/json")


def log_out(access: str) -> Any:
    return Client().post(f"{AUTH}/logout", headers={"Authorization": f"Bearer {access}"})


def test_a_login_is_refreshed_turn_by_turn() -> None:
    body = {"init_data": init_data()}
    tokens = Client().post(f"{AUTH}/telegram", body, "application/json").json()
    for _ in range(3):
        assert (tokens["expires_in"], tokens["refresh_expires_in"]) == (3600, 30 * 24 * 3600)
        assert believed(tokens["access_token"])
        before, answer = tokens, refresh(tokens["refresh_token"])
        assert answer.status_code == 200
        tokens = answer.json()
        assert tokens["refresh_token"] != before["refresh_token"]
        assert believed(before["access_token"]), "until it expires"
    assert Session.objects.get().turn == 3


def test_who_asks_is_one_query(user: User) -> None:
    log_in(user)
    tokens = log_in(user)
    log_in(make_user())
    with CaptureQueriesContext(connection) as captured:
        answer = Client().get(
            "/api/v1/profile", headers={"Authorization": f"Bearer {tokens.access}"}
        )
    assert answer.status_code == 200
    assert sum("accounts_user" in query["sql"] for query in captured) == 1


def test_a_refresh_token_that_comes_twice_ends_its_login_and_no_other(user: User) -> None:
    stolen, elsewhere = log_in(user), log_in(user)
    owner = refresh(stolen.refresh).json()
    problem(refresh(stolen.refresh), 401, "not_authenticated")
    assert not believed(stolen.access)
    assert not believed(owner["access_token"])
    problem(refresh(owner["refresh_token"]), 401, "not_authenticated")
    assert believed(elsewhere.access)
    assert refresh(elsewhere.refresh).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_many_that_refresh_at_once_one_is_answered_and_nobody_stays() -> None:
    tokens = log_in(make_user())
    answers = at_once(6, lambda: refresh(tokens.refresh))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 5
    assert not Session.objects.exists()


def test_a_logout_ends_what_was_issued_for_its_login_and_no_other(user: User) -> None:
    here, there, other = log_in(user), log_in(user), log_in(make_user())
    later = refresh(here.refresh).json()
    assert log_out(later["access_token"]).status_code == 204
    for access in (here.access, later["access_token"]):
        assert not believed(access)
        problem(log_out(access), 401, "not_authenticated")
    problem(refresh(later["refresh_token"]), 401, "not_authenticated")
    assert believed(there.access)
    assert believed(other.access)


def test_who_came_with_init_data_has_nothing_to_end() -> None:
    headers = {"Authorization": f"tma {init_data()}"}
    assert Client().post(f"{AUTH}/logout", headers=headers).status_code == 204
    assert Client().get(DIARY, headers=headers).status_code == 200


# ---- What is not believed


def refresh_issued(user: User, ago: float) -> str:
    then = time.time() - ago
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.core.signing.time.time", lambda: then)
        return log_in(user).refresh


def of_somebody_inactive(user: User) -> str:
    token = log_in(user).refresh
    User.objects.filter(pk=user.pk).update(is_active=False)
    return token


def tampered(user: User) -> str:
    (_, rest), (claims, _) = (log_in(user).refresh.split(":", 1) for _ in range(2))
    return f"{claims}:{rest}"


NOT_BELIEVED: dict[str, Callable[[User], str]] = {
    "empty": lambda user: "",
    "garbage": lambda user: "a:b:c",
    "NUL": lambda user: "\0",
    "an access token": lambda user: log_in(user).access,
    "tampered": tampered,
    "cut": lambda user: log_in(user).refresh[:-1],
    "expired": lambda user: refresh_issued(user, 30 * 24 * 3600 + 5),
    "of somebody inactive": of_somebody_inactive,
}


@pytest.mark.parametrize("case", NOT_BELIEVED)
def test_a_refresh_token_that_is_not_believed_changes_nothing(user: User, case: str) -> None:
    token = NOT_BELIEVED[case](user)
    before = list(Session.objects.order_by("pk").values())
    answer = refresh(token)
    problem(answer, 401, "not_authenticated")
    assert answer.content == refresh("").content
    assert list(Session.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("token", [None, 1, [], {}, "a" * 1025, "\ud800"])
def test_what_cannot_be_a_refresh_token_is_invalid(token: Any) -> None:
    problem(refresh(token), 422, "invalid_request")


def test_tokens_live_through_a_rotated_key_while_the_old_one_is_a_fallback(
    user: User, settings: Any
) -> None:
    tokens, kept = log_in(user), log_in(user)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-0123456789abcdef0123456789abcdef"
    assert believed(tokens.access)
    renewed = refresh(tokens.refresh).json()
    settings.SECRET_KEY_FALLBACKS = []
    assert not believed(tokens.access)
    problem(refresh(kept.refresh), 401, "not_authenticated")
    assert believed(renewed["access_token"]), "signed with the new key"
    assert refresh(renewed["refresh_token"]).status_code == 200


# ---- Housekeeping


def test_logins_that_nothing_can_refresh_are_forgotten_at_night(user: User) -> None:
    lifetime = timedelta(seconds=settings.REFRESH_TOKEN_LIFETIME)
    for age in (lifetime + timedelta(minutes=1), lifetime - timedelta(minutes=1)):
        log_in(user)
        fresh = Session.objects.filter(refreshed_at__gt=Now() - timedelta(minutes=1) / 2)
        fresh.update(refreshed_at=Now() - age)
    assert periods._routines["accounts.old_sessions"].run is remove_old_sessions
    remove_old_sessions()
    assert Session.objects.count() == 1


# ---- Any order


@given(
    st.lists(
        st.tuples(st.sampled_from(["log in", "refresh", "again", "log out"]), st.integers(0, 2)),
        max_size=7,
    )
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_any_order_what_is_believed_is_what_was_not_ended(
    db: None, steps: list[tuple[str, int]]
) -> None:
    user = make_user()
    logins: list[dict[str, Any]] = []
    for step, number in steps:
        if step == "log in" or not logins:
            tokens = log_in(user)
            logins.append({"open": True, "access": [tokens.access], "refresh": [tokens.refresh]})
            continue
        login = logins[number % len(logins)]
        if step == "refresh":
            answer = refresh(login["refresh"][-1])
            assert answer.status_code == (200 if login["open"] else 401)
            if login["open"]:
                login["access"].append(answer.json()["access_token"])
                login["refresh"].append(answer.json()["refresh_token"])
        elif step == "again" and len(login["refresh"]) > 1:
            assert refresh(login["refresh"][0]).status_code == 401
            login["open"] = False
        elif step == "log out":
            assert log_out(login["access"][0]).status_code == (204 if login["open"] else 401)
            login["open"] = False
    for login in logins:
        assert {believed(access) for access in login["access"]} == {login["open"]}
