"""Telegram's Bot API, as far as a bot on a webhook needs it: https://core.telegram.org/bots/api

Addresses below `/telegram/_` are for tests and for people: what was sent and how fast, files that
a chat may hold, and updates as a chat makes them. They are not logged and meet no fault.
"""

import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import httpx

from sandbox.service import FaultKind, Parameter, Refused, Reply, Request, Route, Service, number

LONGEST_TEXT = 4096
LONGEST_DATA = 64
LARGEST_DOWNLOAD = 20 * 1024 * 1024
BOT = {"id": 1, "is_bot": True, "first_name": "Sandbox", "username": "sandbox_bot"}
# The same calls get the same answers, so no clock is read for them.
DATE = 1_735_689_600


def build_service() -> Service:
    bot = Bot()
    return Service(
        name="telegram",
        routes=(
            Route("POST", r"/bot(?P<token>[^/]+)/(?P<method>\w+)", bot.call),
            Route("GET", r"/bot(?P<token>[^/]+)/(?P<method>\w+)", bot.call),
            Route("GET", r"/file/bot(?P<token>[^/]+)/(?P<path>.+)", bot.send_file),
        ),
        asides=(
            Route("GET", "/_sent", bot.show_sent),
            Route("DELETE", "/_sent", bot.forget_sent),
            Route("POST", "/_files", bot.keep_file),
            Route("POST", "/_updates", bot.post_update),
        ),
        faults={
            "too_many_requests": FaultKind(
                _too_many_requests,
                {"retry_after": number(0, 3600, whole=True, required=True)},
                heard=False,
            ),
            "refusal": FaultKind(
                _refuse,
                {
                    "status": number(400, 499, whole=True, required=True),
                    "description": Parameter("a text", lambda value: isinstance(value, str), True),
                },
                heard=False,
            ),
        },
        error=_error,
    )


class Bot:
    """What one bot has sent, may fetch, and wants to be told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._message_ids, self._update_ids = count(1), count(1)
        self._sent: list[dict[str, Any]] = []
        self._files: dict[str, bytes] = {}
        self._webhook: dict[str, Any] = {"url": ""}
        self._methods: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "getMe": lambda wish: BOT,
            "sendMessage": self._send_message,
            "editMessageReplyMarkup": lambda wish: True,
            "answerCallbackQuery": _answer_callback_query,
            "getFile": self._get_file,
            "setWebhook": self._set_webhook,
            "deleteWebhook": self._delete_webhook,
            "getWebhookInfo": self._get_webhook_info,
        }

    def call(self, request: Request) -> Reply:
        _check_token(request)
        method = self._methods.get(request.arguments["method"])
        if method is None:
            raise Refused(404, "Not Found: method not found")
        wish = request.json() if request.body else dict(request.query)
        return Reply(body={"ok": True, "result": method(wish)})

    def send_file(self, request: Request) -> Reply:
        _check_token(request)
        content = self._files.get(request.arguments["path"].removeprefix("photos/"))
        if content is None:
            raise Refused(404, "Not Found: file not found")
        return Reply(content=content)

    def show_sent(self, request: Request) -> Reply:
        """What was accepted, in order, and the most that came within any one second."""
        with self._lock:
            sent = list(self._sent)
        chats: dict[int, list[float]] = defaultdict(list)
        for message in sent:
            chats[message["chat_id"]].append(message["at"])
        return Reply(
            body={
                "messages": sent,
                "most_in_a_second": _most_in_a_second(message["at"] for message in sent),
                "most_in_a_second_of_a_chat": max(
                    map(_most_in_a_second, chats.values()), default=0
                ),
            }
        )

    def forget_sent(self, request: Request) -> Reply:
        with self._lock:
            self._sent.clear()
        return Reply(status=204)

    def keep_file(self, request: Request) -> Reply:
        """A photo as an update would name it: the body's bytes under ids made from them."""
        digest = hashlib.sha256(request.body).hexdigest()[:24]
        self._files[digest] = request.body
        return Reply(
            status=201,
            body={"file_id": digest, "file_unique_id": digest[:12], "file_size": len(request.body)},
        )

    def post_update(self, request: Request) -> Reply:
        """Tell the webhook; what it answered is shown. An update without an id gets one."""
        if not self._webhook["url"]:
            raise Refused(409, "no webhook is set")
        update = {"update_id": next(self._update_ids), **request.json()}
        headers = {}
        if secret := self._webhook.get("secret_token"):
            headers["X-Telegram-Bot-Api-Secret-Token"] = secret
        try:
            answer = httpx.post(
                self._webhook["url"], json=update, headers=headers, timeout=10, trust_env=False
            )
        except httpx.HTTPError as error:
            raise Refused(502, f"the webhook does not answer: {type(error).__name__}") from None
        return Reply(body={"update_id": update["update_id"], "status": answer.status_code})

    def _send_message(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        chat_id, text = wish.get("chat_id"), wish.get("text")
        if type(chat_id) is not int:
            raise Refused(400, "Bad Request: chat_id is empty")
        if not isinstance(text, str) or not text.strip():
            raise Refused(400, "Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) // 2 > LONGEST_TEXT:
            raise Refused(400, "Bad Request: message is too long")
        _check_keyboard(wish.get("reply_markup"))
        with self._lock:
            message_id = next(self._message_ids)
            self._sent.append({"message_id": message_id, "at": time.monotonic(), **wish})
        return {
            "message_id": message_id,
            "from": BOT,
            "chat": {"id": chat_id, "type": "private"},
            "date": DATE,
            "text": text,
        }

    def _get_file(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        file_id = str(wish.get("file_id", ""))
        content = self._files.get(file_id)
        if content is None:
            raise Refused(400, "Bad Request: invalid file_id")
        if len(content) > LARGEST_DOWNLOAD:
            raise Refused(400, "Bad Request: file is too big")
        return {
            "file_id": file_id,
            "file_unique_id": file_id[:12],
            "file_size": len(content),
            "file_path": f"photos/{file_id}",
        }

    def _set_webhook(self, wish: Mapping[str, Any]) -> bool:
        url = wish.get("url")
        if not isinstance(url, str) or not url.startswith(("https://", "http://127.0.0.1:")):
            raise Refused(400, "Bad Request: bad webhook: An HTTPS URL must be provided")
        self._webhook = dict(wish)
        return True

    def _delete_webhook(self, wish: Mapping[str, Any]) -> bool:
        self._webhook = {"url": ""}
        return True

    def _get_webhook_info(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        shown = {key: value for key, value in self._webhook.items() if key != "secret_token"}
        return {"has_custom_certificate": False, "pending_update_count": 0, **shown}


def _check_token(request: Request) -> None:
    number_, _, secret = request.arguments["token"].partition(":")
    if not number_.isdecimal() or not secret:
        raise Refused(401, "Unauthorized")


def _answer_callback_query(wish: Mapping[str, Any]) -> bool:
    if not wish.get("callback_query_id"):
        raise Refused(400, "Bad Request: query is too old or query ID is invalid")
    return True


def _check_keyboard(markup: Any) -> None:
    if markup is None:
        return
    try:
        buttons = [button for row in markup["inline_keyboard"] for button in row]
        for button in buttons:
            (kind,) = button.keys() - {"text"}
            if not button["text"] or kind not in ("url", "web_app", "callback_data"):
                raise ValueError(kind)
            if kind == "web_app" and not button[kind]["url"].startswith("https://"):
                raise Refused(400, "Bad Request: inline keyboard button Web App URL is invalid")
            if kind == "callback_data" and not 0 < len(button[kind].encode()) <= LONGEST_DATA:
                raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Refused(400, "Bad Request: can't parse inline keyboard button") from None


def _most_in_a_second(moments: Iterable[float]) -> int:
    ordered = sorted(moments)
    most = first = 0
    for last, moment in enumerate(ordered):
        while ordered[first] <= moment - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def _error(status: int, description: str) -> dict[str, Any]:
    return {"ok": False, "error_code": status, "description": description}


def _too_many_requests(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    seconds = parameters["retry_after"]
    body = _error(429, f"Too Many Requests: retry after {seconds}")
    return replace(reply, status=429, body=body | {"parameters": {"retry_after": seconds}})


def _refuse(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    status = parameters["status"]
    return replace(reply, status=status, body=_error(status, parameters["description"]))
