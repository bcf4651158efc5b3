"""`Authorization: tma <initData>`: any route, the same checks as the login, the same refusal."""

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Session, User
from apps.accounts.telegram import INIT_DATA_LENGTH
from tests.accounts.test_login import ANNA, GOOD, REFUSED, init_data
from tests.http import StartServer, log_in, make_user, problem

DIARY = "/api/v1/diary/2026-01-01"
PROFILE = "/api/v1/profile"


def ask(proof: str, scheme: str = "tma") -> Any:
    return Client().get(DIARY, headers={"Authorization": f"{scheme} {proof}"})


@pytest.mark.django_db
@pytest.mark.parametrize("case", GOOD)
def test_who_is_vouched_for_is_served(case: str) -> None:
    make, name, language = GOOD[case]
    for _ in range(2):
        assert ask(make()).status_code == 200
    user = User.objects.get()
    assert (user.telegram_id, user.first_name, user.language) == (4711, name, language)
    assert not Session.objects.exists(), "nothing was issued"


@pytest.mark.django_db
@pytest.mark.parametrize("case", REFUSED)
def test_whatever_is_wrong_the_answer_is_that_to_nobody(case: str) -> None:
    response = ask(REFUSED[case]())
    problem(response, 401, "not_authenticated")
    assert response.content == Client().get(DIARY).content
    assert not User.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["", "Bearer", "tmaa", "tma:", "Basic"])
def test_under_another_scheme_it_proves_nothing(scheme: str) -> None:
    problem(ask(init_data(), scheme), 401, "not_authenticated")
    assert not User.objects.exists()


@pytest.mark.django_db
def test_a_token_is_no_init_data(user: User) -> None:
    problem(ask(log_in(user).access), 401, "not_authenticated")


@pytest.mark.django_db
def test_it_says_who_asks_in_all_cases_of_the_scheme() -> None:
    other = make_user()
    assert ask(init_data(), "TMA").status_code == 200
    user = User.objects.exclude(pk=other.pk).get()
    headers = {"Authorization": f"Tma {init_data()}"}
    Client().patch(PROFILE, {"sex": "male"}, content_type="application/json", headers=headers)
    assert list(User.objects.filter(sex="male")) == [user]


@pytest.mark.django_db
def test_a_closed_account_is_refused() -> None:
    ask(init_data())
    User.objects.update(is_active=False)
    problem(ask(init_data()), 401, "not_authenticated")


@pytest.mark.django_db
def test_longer_than_a_login_takes_it_is_not_read() -> None:
    padding = "x" * (INIT_DATA_LENGTH - len(init_data(padding="")))
    assert ask(init_data(padding=padding)).status_code == 200
    problem(ask(init_data(padding=padding + "x")), 401, "not_authenticated")


@pytest.mark.django_db
def test_it_is_in_no_log(caplog: pytest.LogCaptureFixture, settings: Any) -> None:
    caplog.set_level("DEBUG")
    settings.DEBUG = True
    good, bad = init_data(), init_data(token="654321:other")
    for proof in (good, bad):
        for scheme in ("tma", "Bearer", "other"):
            ask(proof, scheme)
    told = " ".join(str(vars(record)) for record in caplog.records)
    assert "HashInvalidError" in told
    for proof in (good, bad):
        assert proof[-64:] not in told


@pytest.mark.django_db(transaction=True)
def test_through_a_real_server(start_server: StartServer) -> None:
    _, client = start_server()
    headers = {"Authorization": f"tma {init_data(photo_url='https://t.me/i/userpic/1.svg')}"}
    assert client.get(DIARY, headers=headers).status_code == 200
    forged = {"Authorization": headers["Authorization"][:-1] + "x"}
    assert client.get(DIARY, headers=forged).status_code == 401
    raw = {"Authorization": b"tma user=\xd0\x90\xff&hash=\xff"}
    assert client.get(DIARY, headers=raw).status_code == 401  # type: ignore[arg-type]
    assert User.objects.get().telegram_id == ANNA["id"]
