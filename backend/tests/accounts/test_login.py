"""Logging in from Telegram: believed if the bot's token signed it, refused in one voice if not."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from init_data_py import sign

from apps.accounts.models import User
from tests.http import at_once, problem
from tests.processes import wait_for

URL = "/api/v1/auth/telegram"
ROTATED = "123456:the-next-token"
ANNA = {"id": 4711, "first_name": "Анна", "language_code": "en"}
BIGGEST_ID = 2**52 - 1

MakeInitData = Callable[[], Any]


def init_data(
    person: Any = ANNA, *, age: int = 0, token: str = settings.TELEGRAM_BOT_TOKEN, **fields: str
) -> str:
    user = {} if person is None else {"user": json.dumps(person)}
    return sign({**user, **fields}, token, auth_date=int(time.time()) - age)


def anna(**fields: Any) -> MakeInitData:
    return partial(init_data, {**ANNA, **fields})


def edited(**fields: str) -> MakeInitData:
    """Signed well, then changed."""
    return lambda: urlencode({**dict(parse_qsl(init_data())), **fields})


def without(field: str) -> MakeInitData:
    return lambda: urlencode([pair for pair in parse_qsl(init_data()) if pair[0] != field])


def signed_raw(user: str) -> MakeInitData:
    return lambda: sign({"user": user}, settings.TELEGRAM_BOT_TOKEN)


def log_in(data: Any) -> Any:
    return Client().post(URL, {"init_data": data}, content_type="application/json")


GOOD: dict[str, tuple[MakeInitData, str, str]] = {
    "plain": (init_data, "Анна", "en"),
    "nearly an hour old": (partial(init_data, age=3540), "Анна", "en"),
    "a clock a little ahead": (partial(init_data, age=-30), "Анна", "en"),
    "unknown fields": (partial(init_data, query_id="AAE", new_field="?"), "Анна", "en"),
    "a signature beside the hash": (partial(init_data, signature="QUJD"), "Анна", "en"),
    "no language": (partial(init_data, {"id": 4711, "first_name": "Анна"}), "Анна", "ru"),
    "another language": (anna(language_code="pt-br"), "Анна", "ru"),
    "no name": (anna(first_name=""), "", "en"),
    "a long name": (anna(first_name="ы" * 600), "ы" * 255, "en"),
    "said to be no bot": (anna(is_bot=False), "Анна", "en"),
}

REFUSED: dict[str, MakeInitData] = {
    "empty": lambda: "",
    "blank": lambda: "   ",
    "no query string": lambda: "hello",
    "forged hash": edited(hash="0" * 64),
    "short hash": edited(hash="00"),
    "hash of other letters": edited(hash="ж" * 64),
    "blank hash": edited(hash=""),
    "changed user": edited(user=json.dumps({**ANNA, "id": 1})),
    "changed age": lambda: edited(auth_date=str(int(time.time()) - 60))(),
    "added field": edited(more="1"),
    "no hash": without("hash"),
    "no date": without("auth_date"),
    "field taken away": lambda: urlencode(
        [pair for pair in parse_qsl(init_data(query_id="A")) if pair[0] != "query_id"]
    ),
    "duplicate key": lambda: f"{init_data()}&user={quote(json.dumps({**ANNA, 'id': 1}))}",
    "duplicate hash": lambda: f"{init_data()}&hash={'0' * 64}",
    "nameless field": lambda: f"{init_data()}&=x",
    "stale": partial(init_data, age=3605),
    "issued in the future": partial(init_data, age=-120),
    "years ahead": lambda: sign(
        {"user": json.dumps(ANNA)}, settings.TELEGRAM_BOT_TOKEN, auth_date=253402300799
    ),
    "a date beyond dates": edited(auth_date="9" * 19),
    "a date of a thousand digits": edited(auth_date="9" * 1000),
    "blank date": edited(auth_date=""),
    "negative date": edited(auth_date="-1"),
    "other bot's token": partial(init_data, token="654321:other"),
    "no user": partial(init_data, None),
    "blank user": signed_raw(""),
    "a user that is a list": signed_raw("[]"),
    "a user that is no JSON": signed_raw("{"),
    "a user nested too deeply": lambda: "user=" + "[" * 8000,
    "bot user": anna(is_bot=True),
    "no id": partial(init_data, {"first_name": "Анна"}),
    "id 0": anna(id=0),
    "negative id": anna(id=-1),
    "id of 53 bits": anna(id=BIGGEST_ID + 1),
    "id of a thousand digits": anna(id=10**1000),
    "id beyond what Python reads": signed_raw('{"first_name": "A", "id": ' + "9" * 5000 + "}"),
    "id true": anna(id=True),
    "id in words": anna(id="4711"),
    "id with a fraction": anna(id=4711.5),
    "name that is a number": anna(first_name=7),
    "NUL in the name": anna(first_name="An\0na"),
    "half a surrogate in the name": anna(first_name="An\ud800na"),
    "percent escapes that are no UTF-8": lambda: init_data().replace("user=", "user=%ff%fe"),
    "percent escapes of nothing": lambda: init_data().replace("user=", "user=%zz"),
    "NUL": lambda: init_data() + "\0",
}

MISSHAPEN: dict[str, Any] = {
    "a number": 1,
    "null": None,
    "a list": [],
    "an object": {},
    "true": True,
    "half a surrogate": "a\ud800",
    "too long": "a" * 8193,
    "a megabyte": "a" * 1_000_000,
}


@pytest.mark.django_db
@pytest.mark.parametrize("case", GOOD)
def test_who_is_vouched_for_is_let_in(case: str) -> None:
    make, name, language = GOOD[case]
    response = log_in(make())
    assert response.status_code == 200, response.content
    assert response.json()["expires_in"] == settings.ACCESS_TOKEN_LIFETIME
    user = User.objects.get()
    assert (user.telegram_id, user.first_name, user.language) == (4711, name, language)
    token = response.json()["access_token"]
    diary = Client().get("/api/v1/diary/2026-01-01", headers={"Authorization": f"Bearer {token}"})
    assert diary.status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("case", REFUSED)
def test_whatever_is_wrong_the_answer_is_the_same(case: str) -> None:
    response = log_in(REFUSED[case]())
    problem(response, 401, "login_refused")
    assert response.content == log_in("hash=1").content
    assert not User.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("case", MISSHAPEN)
def test_what_is_no_text_of_bounded_length_is_invalid(case: str) -> None:
    body = problem(log_in(MISSHAPEN[case]), 422, "invalid_request")
    assert body["errors"][0]["field"].endswith("init_data")
    assert not User.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        ("{", "application/json", 400, "malformed_json"),
        ("[" * 100_000, "application/json", 400, "malformed_json"),
        (b"\xff\xfe", "application/json", 400, "malformed_json"),
        ('"a"', "application/json", 422, "invalid_request"),
        ("", "application/json", 422, "invalid_request"),
        ("{}", "text/plain", 415, "unsupported_media_type"),
        ("init_data=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ("a" * 3_000_000, "application/json", 413, "request_too_big"),
    ],
)
def test_a_body_that_is_no_json_is_refused_by_name(
    body: str | bytes, content_type: str, status: int, code: str
) -> None:
    problem(Client().post(URL, body, content_type=content_type), status, code)


@pytest.mark.django_db
def test_without_a_bot_token_nobody_is_let_in(settings: Any) -> None:
    data = init_data(token="")
    settings.TELEGRAM_BOT_TOKEN = ""
    problem(log_in(data), 401, "login_refused")
    assert not User.objects.exists()


@pytest.mark.django_db
def test_a_page_that_was_open_while_the_token_was_rotated_logs_in(settings: Any) -> None:
    open_page = init_data(token=settings.TELEGRAM_BOT_TOKEN)
    settings.TELEGRAM_BOT_TOKEN_FALLBACKS = [settings.TELEGRAM_BOT_TOKEN]
    settings.TELEGRAM_BOT_TOKEN = ROTATED
    assert log_in(open_page).status_code == 200
    assert log_in(init_data(token=ROTATED)).status_code == 200
    problem(log_in(init_data(token="654321:other")), 401, "login_refused")
    stale = init_data(token=settings.TELEGRAM_BOT_TOKEN_FALLBACKS[0], age=3605)
    problem(log_in(stale), 401, "login_refused")
    settings.TELEGRAM_BOT_TOKEN_FALLBACKS = []
    problem(log_in(open_page), 401, "login_refused")
    assert log_in(init_data(token=ROTATED)).status_code == 200


@pytest.mark.django_db
def test_coming_again_keeps_the_name_current_and_the_rest_as_it_is() -> None:
    log_in(init_data())
    before = User.objects.values().get()
    log_in(init_data({**ANNA, "first_name": "Anna", "language_code": "ru"}))
    assert User.objects.values().get() == {**before, "first_name": "Anna"}
    log_in(init_data({**ANNA, "first_name": ""}))
    assert User.objects.values().get() == {**before, "first_name": "Anna"}


@pytest.mark.django_db
def test_the_largest_id_that_telegram_gives_is_kept_whole() -> None:
    assert log_in(init_data({**ANNA, "id": BIGGEST_ID})).status_code == 200
    assert User.objects.get().telegram_id == BIGGEST_ID


def waiting(cursor: Any) -> int:
    """How many transactions wait for the lock on the table of users."""
    cursor.execute(
        "SELECT count(*) FROM pg_locks WHERE relation = 'accounts_user'::regclass AND NOT granted"
    )
    return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_logging_in_from_many_places_at_once_makes_one_user() -> None:
    data = init_data()
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            # Nobody inserts before everybody has looked and found nobody.
            cursor.execute("LOCK TABLE accounts_user IN SHARE MODE")
            answers = pool.submit(at_once, 8, lambda: log_in(data))
            wait_for(lambda: waiting(cursor) == 8, "all wait to insert")
        responses = answers.result()
    assert [response.status_code for response in responses] == [200] * 8
    assert User.objects.count() == 1


def test_a_refusal_says_nothing_of_what_was_sent(
    db: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    data = init_data(token="654321:other")
    assert b"4711" not in log_in(data).content
    assert "login refused" in caplog.text
    told = " ".join(str(vars(record)) for record in caplog.records if "telegram" in record.name)
    told += " ".join(str(getattr(record, "cause", "")) for record in caplog.records)
    assert "HashInvalidError" in told
    assert dict(parse_qsl(data))["hash"] not in told


@pytest.mark.django_db
def test_a_closed_account_is_refused_in_the_same_words() -> None:
    assert log_in(init_data()).status_code == 200
    User.objects.update(is_active=False)
    assert log_in(init_data()).content == log_in(edited(query_id="forged")()).content


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("told", "kept"),
    [("Asia/Tokyo", "Asia/Tokyo"), ("Mars/Base", "Europe/Moscow"), ("", "Europe/Moscow")],
)
def test_the_first_login_says_the_time_zone(told: str, kept: str) -> None:
    body = {"init_data": init_data(), "time_zone": told}
    assert Client().post(URL, body, content_type="application/json").status_code == 200
    later = {"init_data": init_data(), "time_zone": "America/New_York"}
    assert Client().post(URL, later, content_type="application/json").status_code == 200
    assert User.objects.get().time_zone == kept
