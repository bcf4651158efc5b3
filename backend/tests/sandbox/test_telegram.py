"""Telegram's stand-in: what it takes, what it refuses, and what it remembers."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest

from tests.sandbox.requests import log, order

BOT = "/telegram/bot123:secret"


def call(client: httpx.Client, method: str, **wish: Any) -> Any:
    return client.post(f"{BOT}/{method}", json=wish).json()


def test_a_message_is_accepted_and_shown(client: httpx.Client) -> None:
    answers = [call(client, "sendMessage", chat_id=5, text=text)["result"] for text in ("a", "b")]
    assert [answer["message_id"] for answer in answers] == [1, 2]
    shown = client.get("/telegram/_sent").json()
    assert [(message["chat_id"], message["text"]) for message in shown["messages"]] == [
        *((5, "a"), (5, "b"))
    ]
    assert shown["most_in_a_second"] == shown["most_in_a_second_of_a_chat"] == 2
    assert [entry["path"] for entry in log(client, "telegram")] == [
        "/telegram/bot***/sendMessage"
    ] * 2
    assert client.delete("/telegram/_sent").status_code == 204
    assert client.get("/telegram/_sent").json()["messages"] == []


def keyboard(**button: Any) -> dict[str, Any]:
    return {"chat_id": 1, "text": "a", "reply_markup": {"inline_keyboard": [[button]]}}


@pytest.mark.parametrize(
    ("wish", "description"),
    [
        ({"text": "a"}, "chat_id is empty"),
        ({"chat_id": 1, "text": " \n"}, "message text is empty"),
        ({"chat_id": 1, "text": "a" * 4097}, "message is too long"),
        ({"chat_id": 1, "text": "🍎" * 2049}, "message is too long"),
        (keyboard(text="a"), "inline keyboard button"),
        (keyboard(text="a", callback_data="x" * 65), "BUTTON_DATA_INVALID"),
        (keyboard(text="a", web_app={"url": "http://a.example"}), "Web App URL"),
    ],
)
def test_nonsense_is_refused(client: httpx.Client, wish: dict[str, Any], description: str) -> None:
    answer = call(client, "sendMessage", **wish)
    assert (answer["ok"], answer["error_code"]) == (False, 400)
    assert description in answer["description"]
    assert client.get("/telegram/_sent").json()["messages"] == []


def test_a_token_and_a_method_are_needed(client: httpx.Client) -> None:
    assert client.post("/telegram/botnone/getMe").status_code == 401
    assert client.get(f"{BOT}/getMe").json()["result"]["is_bot"] is True
    assert client.get(f"{BOT}/getHim").status_code == 404


def test_what_a_refusal_met_was_not_sent_and_what_a_reset_met_was(client: httpx.Client) -> None:
    order(client, "too_many_requests", service="telegram", retry_after=7)
    order(client, "refusal", service="telegram", status=403, description="Forbidden")
    order(client, "status", service="telegram", status=500)
    order(client, "reset", service="telegram")
    busy = call(client, "sendMessage", chat_id=1, text="busy")
    assert (busy["error_code"], busy["parameters"]) == (429, {"retry_after": 7})
    assert call(client, "sendMessage", chat_id=1, text="no")["description"] == "Forbidden"
    assert call(client, "sendMessage", chat_id=1, text="broken")["error_code"] == 500
    with pytest.raises(httpx.TransportError):
        call(client, "sendMessage", chat_id=1, text="heard")
    sent = client.get("/telegram/_sent").json()["messages"]
    assert [message["text"] for message in sent] == ["heard"]


def test_a_file_is_kept_named_and_given_back(client: httpx.Client) -> None:
    photo = client.post("/telegram/_files", content=b"\xff\xd8 photo").json()
    named = call(client, "getFile", file_id=photo["file_id"])["result"]
    assert named["file_size"] == photo["file_size"] == 8
    answer = client.get(f"/telegram/file/bot123:secret/{named['file_path']}")
    assert answer.content == b"\xff\xd8 photo"
    assert client.get("/telegram/file/bot123:secret/photos/none").status_code == 404
    assert call(client, "getFile", file_id="none")["error_code"] == 400


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[Any]]]:
    """A webhook that hears everything, and what it heard."""
    heard: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.headers.get("X-Telegram-Bot-Api-Secret-Token"), body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
        server.shutdown()
        thread.join()


def test_updates_are_told_to_the_webhook_with_its_secret(
    client: httpx.Client, webhook: tuple[str, list[Any]]
) -> None:
    url, heard = webhook
    assert client.post("/telegram/_updates", json={"message": {}}).status_code == 409
    assert call(client, "setWebhook", url="http://a.example")["error_code"] == 400
    assert call(client, "setWebhook", url=url, secret_token="abc")["result"] is True
    info = call(client, "getWebhookInfo")["result"]
    assert info["url"] == url
    assert "abc" not in str(info)
    answer = client.post("/telegram/_updates", json={"message": {}}).json()
    assert answer == {"update_id": 1, "status": 200}
    assert heard == [("abc", b'{"update_id":1,"message":{}}')]
    assert call(client, "deleteWebhook")["result"] is True
    assert client.post("/telegram/_updates", json={"message": {}}).status_code == 409
