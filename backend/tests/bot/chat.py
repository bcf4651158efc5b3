"""A person in a chat with the bot: what Telegram tells the webhook, and what it is told to show."""

from itertools import count
from typing import Any

import httpx
from django.test import Client

from tests.messaging.outside import sent

URL = "/bot/webhook"
SECRET = "tests-only-secret-of-the-webhook"
HEADERS = {"X-Telegram-Bot-Api-Secret-Token": SECRET}

_update_ids = count(1)


def post(update: Any, headers: dict[str, str] | None = None) -> Any:
    """Tell the webhook, as Telegram does."""
    return Client().post(
        URL,
        update,
        content_type="application/json",
        headers=HEADERS if headers is None else headers,
    )


class Person:
    """Somebody with a Telegram account."""

    def __init__(self, telegram_id: int, language: str = "en", sandbox: str = "") -> None:
        self.id = telegram_id
        self.sandbox = sandbox
        self.me = {
            "id": telegram_id,
            "is_bot": False,
            "first_name": "Ann",
            "language_code": language,
        }

    def update(self, **message: Any) -> dict[str, Any]:
        chat = {"id": self.id, "type": "private"}
        told = {"message_id": 1, "date": 1, "from": self.me, "chat": chat, **message}
        return {"update_id": next(_update_ids), "message": told}

    def says(self, text: str) -> Any:
        return post(self.update(text=text))

    def sends_photo(self, content: bytes, **message: Any) -> Any:
        """A photo in two sizes, of which the smaller cannot be fetched."""
        kept = httpx.post(f"{self.sandbox}/telegram/_files", content=content, timeout=10).json()
        small = {"file_id": "small", "width": 90, "height": 90, "file_size": 1000}
        photo = [small, {**kept, "width": 1280, "height": 960}]
        return post(self.update(photo=photo, **message))

    def presses(self, data: str, message_id: int = 1) -> Any:
        chat = {"id": self.id, "type": "private"}
        query = {
            "id": "77",
            "from": self.me,
            "message": {"message_id": message_id, "date": 1, "chat": chat},
            "data": data,
        }
        return post({"update_id": next(_update_ids), "callback_query": query})

    def heard(self) -> list[dict[str, Any]]:
        """The messages that they were sent, in order."""
        messages = sent(self.sandbox)["messages"]
        return [message for message in messages if message["chat_id"] == self.id]


def buttons(message: dict[str, Any]) -> dict[str, str]:
    """What the buttons below a message say, and what they do."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return {
        button["text"]: button.get("callback_data") or button.get("url") or button["web_app"]["url"]
        for row in rows
        for button in row
    }
