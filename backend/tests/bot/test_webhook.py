"""The webhook: Telegram alone gets in, each update once, and what is kept is little."""

import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import User
from apps.accounts.personal_data import registered
from apps.bot.models import Update
from apps.bot.updates import Malformed, read_update
from apps.messaging.models import Message
from tests.bot.chat import HEADERS, SECRET, URL, Person, post
from tests.http import at_once, problem

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _secret(settings: Any) -> None:
    settings.TELEGRAM_BOT_API_SECRET = SECRET


@pytest.mark.parametrize(
    ("secret", "headers"),
    [
        (SECRET, {}),
        (SECRET, {"X-Telegram-Bot-Api-Secret-Token": ""}),
        (SECRET, {"X-Telegram-Bot-Api-Secret-Token": SECRET[:-1]}),
        (SECRET, {"X-Telegram-Bot-Api-Secret-Token": SECRET.upper()}),
        (SECRET, {"X-Telegram-Bot-Api-Secret-Token": "é" * 32}),
        (SECRET, {"Authorization": f"Bearer {SECRET}"}),
        ("", {}),
        ("", {"X-Telegram-Bot-Api-Secret-Token": ""}),
        ("", HEADERS),
    ],
)
def test_nobody_else_gets_in_and_all_hear_the_same(
    settings: Any, secret: str, headers: dict[str, str]
) -> None:
    settings.TELEGRAM_BOT_API_SECRET = secret
    response = post(Person(5).update(text="soup"), headers)
    assert problem(response, 403, "forbidden")["title"] == "Это только для Telegram"
    assert not Update.objects.exists()


def test_while_the_secret_is_rotated_both_get_in(settings: Any) -> None:
    settings.TELEGRAM_BOT_API_SECRET = "the-next-secret-of-the-webhook"
    settings.TELEGRAM_BOT_API_SECRET_FALLBACKS = [SECRET]
    following = {"X-Telegram-Bot-Api-Secret-Token": settings.TELEGRAM_BOT_API_SECRET}
    former = HEADERS
    person = Person(5)
    for headers in (former, following):
        assert post(person.update(text="soup"), headers).status_code == 200
    other = {"X-Telegram-Bot-Api-Secret-Token": SECRET.upper()}
    problem(post(person.update(text="soup"), other), 403, "forbidden")
    settings.TELEGRAM_BOT_API_SECRET_FALLBACKS = []
    problem(post(person.update(text="soup"), former), 403, "forbidden")
    assert post(person.update(text="soup"), following).status_code == 200
    settings.TELEGRAM_BOT_API_SECRET = ""
    settings.TELEGRAM_BOT_API_SECRET_FALLBACKS = [SECRET]
    problem(post(person.update(text="soup"), former), 403, "forbidden")
    assert Update.objects.count() == 3


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_it_takes_post(method: str) -> None:
    assert Client().generic(method, URL, headers=HEADERS).status_code == 405
    assert Client().generic(method, URL).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "null", "[]", '"a"', "{}", '{"update_id": "1"}', '{"update_id": -1}'),
        *('{"update_id": true}', '{"update_id": 1, "message": 5}', "[" * 100_000, "\xff"),
        '{"update_id": 1, "message": {"chat": {"type": "private"}, "from": {"id": "x"}}}',
        '{"update_id": 99999999999999999999, "message": {}}',
    ],
)
def test_what_is_no_update_is_refused(body: str) -> None:
    response = Client().post(URL, body, content_type="application/json", headers=HEADERS)
    problem(response, 400, "malformed_update")
    assert not Update.objects.exists()


def test_an_update_is_kept_once_and_little_of_it() -> None:
    update = Person(5).update(text="soup\0 \ud83c", entities=[{"type": "x"}], via_bot={"id": 3})
    for _ in range(3):
        assert post(update).status_code == 200
    row = Update.objects.get()
    assert (row.telegram_id, row.status, row.attempts) == (5, "pending", 0)
    assert {name: value for name, value in row.event.items() if value} == {
        "kind": "text",
        "telegram_id": 5,
        "first_name": "Ann",
        "language": "en",
        "text": "soup",
    }
    assert not User.objects.exists(), "that is for the worker"


@pytest.mark.django_db(transaction=True)
def test_an_update_that_comes_many_times_at_once_is_kept_once() -> None:
    update = Person(5).update(text="soup")
    assert {answer.status_code for answer in at_once(8, lambda: post(update))} == {200}
    assert Update.objects.count() == 1


def changed(**changes: Any) -> dict[str, Any]:
    update = Person(5).update(text="soup")
    update["message"] |= changes
    return update


@pytest.mark.parametrize(
    "update",
    [
        changed(chat={"id": -5, "type": "group"}),
        changed(chat={"id": -5, "type": "channel"}),
        changed(**{"from": {"id": 6, "is_bot": True, "first_name": "Bot"}}),
        {"update_id": 1, "edited_message": Person(5).update(text="soup")["message"]},
        {"update_id": 1, "channel_post": {}},
        {
            "update_id": 1,
            "callback_query": {"id": "1", "from": {"id": 5}, "inline_message_id": "a"},
        },
    ],
)
def test_what_is_not_said_to_the_bot_in_private_is_left_alone(update: dict[str, Any]) -> None:
    assert post(update).status_code == 200
    assert not Update.objects.exists()


def test_the_largest_photo_that_is_taken_is_chosen() -> None:
    sizes = [
        {"file_id": "s", "width": 90, "height": 60, "file_size": 1000},
        {"file_id": "l", "width": 1280, "height": 960, "file_size": 200_000},
        {"file_id": "xl", "width": 4000, "height": 3000, "file_size": 11_000_000},
    ]
    post(Person(5).update(photo=sizes, caption="lunch"))
    post(Person(5).update(photo=sizes[2:]))
    document = {"file_id": "d", "mime_type": "image/png", "file_size": 1000}
    post(Person(5).update(document=document, media_group_id="g"))
    post(Person(5).update(document={**document, "mime_type": "application/pdf"}))
    post(Person(5).update(voice={"file_id": "v"}))
    events = [row.event for row in Update.objects.order_by("update_id")]
    assert [(event["kind"], event["file_id"]) for event in events] == [
        *(("photo", "l"), ("too_big", ""), ("photo", "d"), ("other", ""), ("other", ""))
    ]
    assert (events[0]["text"], events[2]["album"]) == ("lunch", "g")


def test_who_floods_is_told_so_once_and_the_rest_is_not_kept(user: User) -> None:
    other = Person(5)
    flood = Person(user.telegram_id or 0)
    assert {flood.says("soup").status_code for _ in range(100)} == {200}
    assert 20 <= Update.objects.count() <= 25
    assert Message.objects.count() == 1
    other.says("soup")
    assert Update.objects.filter(telegram_id=5).count() == 1


def test_what_was_said_is_exported_and_erased(user: User) -> None:
    (data,) = [part for part in registered() if part.name == "bot"]
    Person(user.telegram_id or 0).says("soup")
    Person(5).says("tea")
    assert [said["text"] for said in data.export(user)] == ["soup"]
    data.erase(user)
    assert data.export(user) == []
    assert Update.objects.get().telegram_id == 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("private"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "from",
                    "chat",
                    "type",
                    "photo",
                    "text",
                    "document",
                    "file_id",
                    "message",
                    "data",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON, JSON)
def test_whatever_comes_is_read_or_refused(message: Any, query: Any) -> None:
    for update in (
        {"update_id": 1, "message": message},
        {"update_id": 1, "callback_query": query},
        {
            **Person(5).update(text="a"),
            "message": {**changed()["message"], **(message if isinstance(message, dict) else {})},
        },
    ):
        try:
            _, event = read_update(update)
        except Malformed:
            continue
        assert event is None or json.dumps(vars(event))
