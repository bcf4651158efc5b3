"""Messages reach Telegram through real workers: paced, in order, whatever Telegram answers."""

import pytest

from apps.accounts.models import User
from apps.jobs.broker import listen_again
from apps.messaging.models import Message
from apps.messaging.services import Button, send_message
from tests.messaging.outside import sent
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
