"""Messages reach Telegram through real workers: paced, in order, whatever Telegram answers."""

import itertools
import logging
import time
import traceback
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import httpx
import hypothesis
import pytest
import redis
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import User
from apps.jobs.broker import listen_again
from apps.jobs.sweep import sweep
from apps.messaging import pace, telegram
from apps.messaging.models import ClosedChat, Message
from apps.messaging.services import Button, open_chat, send_message, tell_administrators
from apps.messaging.tasks import deliver
from sandbox.embedded import Redis, free_port
from tests.http import make_user
from tests.messaging.outside import calls, clear_faults, order_fault, sent, texts
from tests.processes import StartWorker, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _broker_is_heard() -> None:
    listen_again()


def undelivered() -> int:
    return Message.objects.exclude(status="done").count()


def test_a_message_arrives_as_it_was_said(
    user: User, start_worker: StartWorker, sandbox: str
) -> None:
    start_worker("default")
    text = "<b>Борщ</b> *300* _г_ [x](y) `z` & 🍲"
    send_message(user=user, text=text, buttons=[Button("Open", "https://a.example")])
    wait_for(lambda: undelivered() == 0, "delivered")
    (message,) = sent(sandbox)["messages"]
    assert message["text"] == text
    assert message["chat_id"] == user.telegram_id
    assert "parse_mode" not in message
    assert message["reply_markup"] == {
        "inline_keyboard": [[{"text": "Open", "url": "https://a.example"}]]
    }
    row = Message.objects.get()
    assert (row.telegram_message_id, row.attempts) == (message["message_id"], 1)


def deliver_all(seconds: float = 60.0) -> None:
    """Wait until nothing is open, sweeping as beat does."""

    def settled() -> bool:
        sweep()
        return not Message.objects.filter(status__in=Message.OPEN).exists()

    wait_for(settled, "nothing is left to deliver", seconds)


def let_time_pass(redis_server: Redis) -> None:
    """As if every pause and lease, and every hold of the pace, had just ended."""
    past = Now() - timedelta(seconds=1)
    Message.objects.filter(status__in=Message.OPEN).update(
        run_after=past, ring_after=past, lease_until=F("lease_until") - timedelta(minutes=10)
    )
    redis.Redis(port=redis_server.port).flushall()


def by_chat(sandbox: str) -> dict[int, list[str]]:
    told: dict[int, list[str]] = defaultdict(list)
    for message in sent(sandbox)["messages"]:
        told[message["chat_id"]].append(message["text"])
    return told


def test_two_workers_together_keep_to_30_a_second_and_1_in_a_chat(
    start_worker: StartWorker, sandbox: str
) -> None:
    start_worker("default", concurrency=2), start_worker("default", concurrency=2)
    users = [make_user() for _ in range(70)]
    with transaction.atomic():
        for number in range(4):
            send_message(user=users[0], text=f"soup {number}")
        for user in users[1:]:
            send_message(user=user, text="tea")
    deliver_all()
    told = sent(sandbox)
    assert len(told["messages"]) == 73
    assert told["most_in_a_second"] <= 30
    assert told["most_in_a_second_of_a_chat"] == 1
    chats = by_chat(sandbox)
    assert chats.pop(users[0].telegram_id or 0) == [f"soup {number}" for number in range(4)]
    assert chats == {user.telegram_id: ["tea"] for user in users[1:]}
    rows = Message.objects.all()
    assert {row.tries_left for row in rows} == {Message.tries - 1}, "waiting costs no attempt"
    assert sum(row.handed_back for row in rows) > 20, "most had to wait"


def test_thousands_who_wait_are_told_to_come_one_after_another() -> None:
    moments = []
    for chat_id in range(1, 3_001):
        wait = pace.ask_for_turn(chat_id).total_seconds()
        if wait:
            moments.append(time.monotonic() + wait)
    assert len(moments) > 1_000
    crowds = Counter(int(moment) for moment in moments)
    # 25 a second; twice that where the next 20 s, as time goes by, reach what came after them.
    assert max(crowds.values()) <= 2 * (1000 // pace.SPACING_MS) + 5


def test_an_answer_does_not_wait_behind_a_broadcast() -> None:
    """While one begins it may; a moment later there is room again within 20 s, not 2 minutes."""
    for chat_id in range(1, 3_000):
        pace.ask_for_turn(chat_id)
    soon = timedelta(seconds=20)
    wait_for(lambda: pace.ask_for_turn(20_000) <= soon, "told to come soon", seconds=5)


def test_a_429_is_obeyed_and_costs_no_attempt(
    user: User, start_worker: StartWorker, sandbox: str
) -> None:
    start_worker("default")
    order_fault(sandbox, "too_many_requests", retry_after=2)
    send_message(user=user, text="soup")
    other = make_user()
    wait_for(lambda: Message.objects.filter(error_code="telegram_busy").exists(), "told to wait")
    send_message(user=other, text="tea")
    deliver_all()
    assert texts(sandbox) == ["tea", "soup"], "others need not wait"
    asked = [
        datetime.fromisoformat(call["received_at"])
        for call in calls(sandbox)
        if call["body"]["text"] == "soup"
    ]
    assert len(asked) == 2
    assert asked[1] - asked[0] >= timedelta(seconds=2)
    assert {row.tries_left for row in Message.objects.all()} == {Message.tries - 1}


def test_a_429_that_a_second_chat_gets_too_is_meant_for_everybody() -> None:
    pace.note_wish_to_wait(1, 7)
    assert not pace.ask_for_turn(3)
    pace.note_answer(3)
    pace.note_wish_to_wait(2, 7)
    for chat_id in (1, 2, 4):
        assert pace.ask_for_turn(chat_id) > timedelta(seconds=5)


@pytest.mark.parametrize(
    ("status", "description"),
    [
        (403, "Forbidden: bot was blocked by the user"),
        (403, "Forbidden: user is deactivated"),
        (400, "Bad Request: chat not found"),
    ],
)
def test_a_chat_that_refuses_us_is_left_alone_until_its_user_comes_back(
    status: int, description: str, user: User, start_worker: StartWorker, sandbox: str
) -> None:
    start_worker("default")
    order_fault(sandbox, "refusal", status=status, description=description)
    for text in ("one", "two", "three"):
        send_message(user=user, text=text)
    deliver_all()
    send_message(user=make_user(), text="tea")
    deliver_all()
    assert ClosedChat.objects.get().chat_id == user.telegram_id
    assert set(Message.objects.values_list("status", flat=True)) == {"done"}, "nobody's dead letter"
    assert len(calls(sandbox)) == 2, "asked once, and never for the others"
    assert send_message(user=user, text="four") is None
    open_chat(user=user)
    send_message(user=user, text="welcome back")
    deliver_all()
    assert sorted(texts(sandbox)) == ["tea", "welcome back"]


def test_what_telegram_refuses_for_what_it_says_is_a_dead_letter_and_holds_nobody_up(
    user: User, start_worker: StartWorker, sandbox: str
) -> None:
    start_worker("default")
    order_fault(sandbox, "refusal", status=400, description="Bad Request: BUTTON_URL_INVALID")
    with transaction.atomic():
        send_message(user=user, text="bad")
        send_message(user=user, text="good")
    deliver_all()
    bad, good = Message.objects.order_by("number")
    assert (bad.status, bad.error_code, bad.attempts) == ("failed", "telegram_refused", 1)
    assert "BUTTON_URL_INVALID" in bad.last_error
    assert (good.status, texts(sandbox)) == ("done", ["good"])


def test_an_administrators_chat_that_is_gone_is_a_dead_letter(
    settings: Any, start_worker: StartWorker, sandbox: str
) -> None:
    settings.ADMIN_CHAT_IDS = [-100]
    start_worker("default")
    order_fault(sandbox, "refusal", status=400, description="Bad Request: chat not found")
    tell_administrators(text="The sky falls")
    deliver_all()
    assert Message.objects.get().status == "failed"
    assert not ClosedChat.objects.exists()


def test_a_telegram_that_fails_is_asked_by_one_and_gets_everything_later_in_order(
    start_worker: StartWorker, sandbox: str
) -> None:
    start_worker("default", concurrency=8)
    order_fault(sandbox, "status", status=502, html="<h1>Bad Gateway</h1>", times=2)
    order_fault(sandbox, "status", status=500)
    users = [make_user() for _ in range(20)]
    with transaction.atomic():
        for user in users:
            for text in ("one", "two"):
                send_message(user=user, text=text)
    deliver_all()
    assert by_chat(sandbox) == {user.telegram_id: ["one", "two"] for user in users}
    assert len(calls(sandbox)) == 40 + 3
    spent = [Message.tries - row.tries_left for row in Message.objects.all()]
    assert sum(spent) == 40 + 3, "only who asked spent an attempt"


def test_a_wrong_token_is_mended_without_losing_a_message(
    user: User, start_worker: StartWorker, sandbox: str
) -> None:
    start_worker("default")
    order_fault(sandbox, "refusal", status=401, description="Unauthorized")
    order_fault(sandbox, "refusal", status=404, description="Not Found")
    send_message(user=user, text="soup")
    wait_for(lambda: Message.objects.filter(error_code="telegram_token").exists(), "refused")
    deliver_all()
    assert texts(sandbox) == ["soup"]


def test_a_worker_killed_in_the_middle_of_a_long_text(
    user: User, start_worker: StartWorker, sandbox: str, redis_server: Redis
) -> None:
    """The part under way may come twice, since nobody knows; no other part does."""
    parts = [str(number) * 3000 for number in range(4)]
    worker = start_worker("default")
    send_message(user=user, text="\n\n".join(parts))
    wait_for(lambda: texts(sandbox) == parts[:1], "the first part arrived")
    order_fault(sandbox, "latency", seconds=8)
    wait_for(lambda: len(calls(sandbox)) == 2, "the second part is under way")
    worker.kill()
    let_time_pass(redis_server)
    start_worker("default")
    deliver_all()
    assert texts(sandbox) == [parts[0], parts[1], parts[1], parts[2], parts[3]]
    assert [row.attempts - row.handed_back for row in Message.objects.order_by("number")] == [
        *(1, 2, 1, 1)
    ]


@pytest.fixture
def telegram_here(settings: Any, sandbox: str) -> str:
    """Deliver from this process."""
    settings.TELEGRAM_API_URL = f"{sandbox}/telegram"
    return sandbox


def test_without_redis_nothing_is_sent_and_nothing_lost(
    user: User, telegram_here: str, redis_server: Redis
) -> None:
    message = send_message(user=user, text="soup")
    assert message is not None
    redis_server.stop()
    try:
        deliver(str(message.pk))
    finally:
        redis_server.start()
    assert calls(telegram_here) == []
    message.refresh_from_db()
    assert (message.status, message.error_code) == ("pending", "rate_limit")
    assert message.tries_left == Message.tries
    listen_again()
    let_time_pass(redis_server)
    deliver(str(message.pk))
    assert texts(telegram_here) == ["soup"]


def test_the_token_is_never_told(
    user: User, telegram_here: str, redis_server: Redis, settings: Any, caplog: Any
) -> None:
    """Neither by a log at its most talkative, nor by an exception, whatever happens."""
    settings.TELEGRAM_BOT_TOKEN = "987654:very-SECRET_token"
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, name)
    told: list[str] = []

    def attempt(url: str) -> None:
        settings.TELEGRAM_API_URL = url
        message = send_message(user=user, text="soup")
        assert message is not None
        let_time_pass(redis_server)
        deliver(str(message.pk))
        try:
            telegram.call("getMe")
        except Exception:
            told.append(traceback.format_exc())
        try:
            telegram.download_file("photos/none", at_most=10)
        except Exception:
            told.append(traceback.format_exc())
        told.extend(Message.objects.values_list("last_error", flat=True))
        Message.objects.all().delete()
        ClosedChat.objects.all().delete()

    order_fault(telegram_here, "reset", times=3)
    attempt(f"{telegram_here}/telegram")
    order_fault(telegram_here, "status", status=500, times=3)
    attempt(f"{telegram_here}/telegram")
    order_fault(telegram_here, "refusal", status=403, description="Forbidden", times=3)
    attempt(f"{telegram_here}/telegram")
    order_fault(telegram_here, "status", status=404, html="nothing", times=3)
    attempt(f"{telegram_here}/telegram")
    attempt(f"{telegram_here}/telegram")
    attempt(f"http://127.0.0.1:{free_port()}/telegram")
    attempt("http://nobody.invalid/telegram")

    formatter = logging.Formatter()
    told += [formatter.format(record) + repr(vars(record)) for record in caplog.records]
    everything = "\n".join(told)
    assert "sendMessage" in everything, "calls were told of"
    assert "SECRET" not in everything
    assert "987654" not in everything
    assert [call["path"] for call in calls(telegram_here)][:1] == ["/telegram/bot***/sendMessage"]


def test_silence_is_given_up_on_and_what_may_have_been_heard_is_said_again(
    user: User, telegram_here: str, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram, "SILENCE_SECONDS", 0.3)
    telegram._client.cache_clear()
    try:
        order_fault(telegram_here, "timeout")
        message = send_message(user=user, text="soup")
        assert message is not None
        deliver(str(message.pk))
        message.refresh_from_db()
        assert (message.status, message.error_code) == ("pending", "telegram_away")
        assert pace.ask_for_turn(1) > timedelta(), "everybody pauses"
        let_time_pass(redis_server)
        deliver(str(message.pk))
    finally:
        telegram._client.cache_clear()
    assert texts(telegram_here) == ["soup", "soup"]
    message.refresh_from_db()
    assert (message.status, message.last_error) == ("done", "")


class Fate(StrEnum):
    """What becomes of a call, and whether Telegram heard it."""

    ANSWERED = "answered"
    RESET = "reset"
    FAILED = "failed"
    BUSY = "busy"


def order_fate(sandbox: str, fate: Fate) -> None:
    if fate is Fate.RESET:
        order_fault(sandbox, "reset")
    elif fate is Fate.FAILED:
        order_fault(sandbox, "status", status=500)
    elif fate is Fate.BUSY:
        order_fault(sandbox, "too_many_requests", retry_after=30)


@given(
    chats=st.lists(st.integers(0, 1), min_size=1, max_size=6),
    fates=st.lists(st.sampled_from(Fate), max_size=8),
    order=st.randoms(use_true_random=False),
)
@hypothesis.settings(
    max_examples=hypothesis.settings.default.max_examples // 8,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_whatever_happens_each_chat_hears_everything_in_order(
    telegram_here: str, redis_server: Redis, chats: list[int], fates: list[Fate], order: Any
) -> None:
    """Only what was heard without an answer is heard again."""
    httpx.delete(f"{telegram_here}/telegram/_sent", timeout=10)
    Message.objects.all().delete()
    users = [make_user(), make_user()]
    for number, chat in enumerate(chats):
        send_message(user=users[chat], text=f"{number}")
    left = list(fates)
    while waiting := list(Message.objects.filter(status__in=Message.OPEN)):
        let_time_pass(redis_server)
        clear_faults(telegram_here)
        order_fate(telegram_here, left.pop(0) if left else Fate.ANSWERED)
        deliver(str(order.choice(waiting).pk))
    clear_faults(telegram_here)
    heard = by_chat(telegram_here)
    for chat, user in enumerate(users):
        wanted = [f"{number}" for number, where in enumerate(chats) if where == chat]
        got = heard.get(user.telegram_id or 0, [])
        assert [text for text, _ in itertools.groupby(got)] == wanted
    repeated = sum(map(len, heard.values())) - len(chats)
    assert repeated <= fates.count(Fate.RESET)
    assert not Message.objects.exclude(status="done").exists()
