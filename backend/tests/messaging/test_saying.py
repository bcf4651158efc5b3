"""Saying something: a row in the caller's transaction, in the reader's language, once a key."""

from typing import Any

import pytest
from django.db import transaction
from django.utils import translation
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import User
from apps.accounts.personal_data import registered
from apps.messaging.models import ClosedChat, Message
from apps.messaging.services import (
    ActionButton,
    AppButton,
    Button,
    send_message,
    tell_administrators,
)
from apps.messaging.texts import LIMIT, split_text
from tests.http import at_once, make_user

pytestmark = pytest.mark.django_db

LOG_IN: Any = gettext_lazy("Please log in")


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    ("language", "text"), [("ru", "Пожалуйста, войдите"), ("en", "Please log in")]
)
@pytest.mark.parametrize("here", ["ru", "en"])
def test_it_is_said_in_the_readers_language(language: str, text: str, here: str) -> None:
    user = make_user(language=language)
    with translation.override(here):
        message = send_message(
            user=user,
            text=format_lazy("{}: {}", LOG_IN, 5),
            buttons=[
                Button(LOG_IN, "https://a.example"),
                AppButton("App", "https://b.example"),
                ActionButton("Yes", "yes:1"),
            ],
        )
    assert message is not None
    row = Message.objects.get()
    assert (row, row.text, row.chat_id) == (message, f"{text}: 5", user.telegram_id)
    assert row.keyboard == [
        [{"text": text, "url": "https://a.example"}],
        [{"text": "App", "web_app": {"url": "https://b.example"}}],
        [{"text": "Yes", "callback_data": "yes:1"}],
    ]


def test_it_is_said_when_the_caller_commits_or_not_at_all(user: User) -> None:
    with transaction.atomic():
        send_message(user=user, text="soup")
        transaction.set_rollback(True)
    assert not Message.objects.exists()


def test_a_key_is_said_once_a_chat(user: User) -> None:
    first = send_message(user=user, text="soup", key="a")
    assert send_message(user=user, text="other soup", key="a") == first
    assert Message.objects.get().text == "soup"
    assert send_message(user=user, text="soup", key="b") != first
    assert send_message(user=make_user(), text="soup", key="a") != first
    assert send_message(user=user, text="soup") != send_message(user=user, text="soup")


@pytest.mark.django_db(transaction=True)
def test_a_key_is_said_once_by_many_at_once() -> None:
    user = make_user()
    long = "a" * 5000
    said = at_once(8, lambda: send_message(user=user, text=long, key="a"))
    assert len(set(said)) == 1
    assert Message.objects.count() == 2


def test_who_cannot_be_written_to_is_not(user: User) -> None:
    assert send_message(user=make_user(telegram_id=None), text="soup") is None
    ClosedChat.objects.create(chat_id=user.telegram_id, reason="blocked")
    assert send_message(user=user, text="soup") is None
    assert not Message.objects.exists()


@pytest.mark.parametrize("text", ["", " \n ", "\0", "\ud800"])
def test_saying_nothing_is_a_mistake(user: User, text: str) -> None:
    with pytest.raises(ValueError, match="needs a text"):
        send_message(user=user, text=text)
    assert not Message.objects.exists()


def test_a_long_text_is_several_messages_in_order(user: User) -> None:
    text = "\n\n".join(f"{number} " + "soup " * 300 for number in range(9))
    first = send_message(user=user, text=text, key="a", buttons=[Button("Go", "https://a.example")])
    rows = list(Message.objects.order_by("number"))
    assert len(rows) > 2
    assert rows[0] == first
    assert [row.part for row in rows] == list(range(len(rows)))
    assert [bool(row.keyboard) for row in rows] == [False] * (len(rows) - 1) + [True]
    assert all(row.text[0].isdigit() for row in rows), "cut between paragraphs"
    assert send_message(user=user, text=text, key="a") == first
    assert Message.objects.count() == len(rows)


PIECES = st.sampled_from(
    ["a", "soup", " ", "\n", "\n\n", ". ", "🍎", "е́", "👨‍👩‍👧", "\0", "я" * 50]
)


@given(st.lists(PIECES, max_size=200).map("".join), st.integers(20, 60))
def test_parts_fit_and_lose_nothing_but_space(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert all(0 < units(part) <= limit and part == part.strip() for part in parts)
    shown = "".join(text.replace("\0", "").split())
    assert "".join("".join(parts).split()) == shown
    for part in parts[1:]:
        assert part[0] not in "\u0301\u200d\ufe0f"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * LIMIT, [LIMIT]),
        ("a" * (LIMIT + 1), [LIMIT, 1]),
        ("🍎" * (LIMIT // 2), [LIMIT]),
        ("🍎" * (LIMIT // 2 + 1), [LIMIT, 2]),
        ("a" + "🍎" * (LIMIT // 2), [LIMIT - 1, 2]),
    ],
)
def test_what_telegram_counts_as_two_is_counted_so(text: str, parts: list[int]) -> None:
    assert [units(part) for part in split_text(text)] == parts


def test_what_was_said_is_exported_and_erased_with_its_reader(user: User) -> None:
    (data,) = [part for part in registered() if part.name == "messages"]
    other = make_user()
    for reader in (user, other):
        send_message(user=reader, text=f"soup of {reader.pk}")
        ClosedChat.objects.create(chat_id=reader.telegram_id, reason="blocked")
    told = data.export(user)
    assert [message["text"] for message in told["messages"]] == [f"soup of {user.pk}"]
    assert told["closed_at"]
    data.erase(user)
    data.erase(user)
    assert data.export(user) == {"closed_at": None, "messages": []}
    assert len(data.export(other)["messages"]) == 1
    assert ClosedChat.objects.get().chat_id == other.telegram_id


def test_administrators_are_told_in_english_and_the_log_too(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tell_administrators(text=LOG_IN, key="a")
    assert not Message.objects.exists()
    assert caplog.records[-1].levelname == "WARNING"
    assert vars(caplog.records[-1])["text"] == "Please log in"
    settings.ADMIN_CHAT_IDS = [5, -1001]
    for _ in range(2):
        tell_administrators(text=LOG_IN, key="a")
    rows = Message.objects.order_by("chat_id").values_list("chat_id", "text", "user")
    assert list(rows) == [(-1001, "Please log in", None), (5, "Please log in", None)]
