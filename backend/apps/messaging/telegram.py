"""Telegram's Bot API, as far as we use it: https://core.telegram.org/bots/api

The bot's token is a part of every address there. Only the transport below knows it, so that
neither the client's log, nor an exception, nor what is told of either can show it.
"""

import json
import time
from functools import cache
from typing import Any

import httpx
from django.conf import settings

CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 10.0
TOTAL_SECONDS = 20.0
"""A whole call, answer and all. No chat is left waiting longer than that by a call that hangs."""
LARGEST_ANSWER = 1024 * 1024


class TelegramError(Exception):
    """Telegram refused: `status` is its error_code, the text its description."""

    def __init__(self, status: int, description: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status}: {description}"[:300])
        self.status = status
        self.description = description
        self.retry_after = retry_after


class TelegramAway(Exception):
    """No sound answer came: whether the call was heard is unknown."""


class TooLarge(Exception):
    """An answer, or a file, is larger than what is taken."""


class _TokenTransport(httpx.HTTPTransport):
    """Puts the token into the address on the way out: /sendMessage is /bot…/sendMessage."""

    def __init__(self, token: str) -> None:
        super().__init__(limits=httpx.Limits(max_connections=64))
        self._secret = f"bot{token}"

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        base = httpx.URL(settings.TELEGRAM_API_URL)
        root = base.raw_path.decode().rstrip("/")
        path = request.url.raw_path.decode().removeprefix(root)
        where = f"/{self._secret}{path}"
        if path.startswith("/file/"):
            where = f"/file/{self._secret}{path[5:]}"
        url = request.url.copy_with(raw_path=f"{root}{where}".encode())
        return super().handle_request(
            httpx.Request(
                request.method,
                url,
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
        )


@cache
def _client(token: str) -> httpx.Client:
    return httpx.Client(
        timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        transport=_TokenTransport(token),
        trust_env=False,  # a proxy of the environment would go round the transport
    )


def call(method: str, **parameters: Any) -> Any:
    """Call a method of the Bot API; returns its `result`.

    Raises TelegramError where Telegram refuses, and TelegramAway where nobody knows.
    """
    return _call(settings.TELEGRAM_BOT_TOKEN, method, parameters)


def is_believed(token: str) -> bool:
    """Whether Telegram knows a bot by this token. Raises as `call` does where it does not say."""
    try:
        _call(token, "getMe", {})
    except TelegramError as error:
        if error.status in (httpx.codes.UNAUTHORIZED, httpx.codes.NOT_FOUND):
            return False
        raise
    return True


def _call(token: str, method: str, parameters: dict[str, Any]) -> Any:
    answer, status = _fetch(token, "POST", f"/{method}", LARGEST_ANSWER, parameters)
    try:
        body = json.loads(answer)
        if body["ok"]:
            return body["result"]
        code = int(body["error_code"])
        description = str(body.get("description", ""))
        retry_after = (body.get("parameters") or {}).get("retry_after")
        seconds = None if retry_after is None else float(retry_after)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise TelegramAway(f"{status} without a sound body") from None
    if code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise TelegramAway(f"{code}: {description}"[:300])
    raise TelegramError(code, description, seconds)


def download_file(file_path: str, *, at_most: int) -> bytes:
    """The bytes of a file whose path `getFile` told.

    Raises TooLarge, TelegramAway, and TelegramError where it is not there (any more).
    """
    token = settings.TELEGRAM_BOT_TOKEN
    content, status = _fetch(token, "GET", f"/file/{file_path}", at_most)
    if status == httpx.codes.OK:
        return content
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise TelegramAway(f"{status} for a file")
    raise TelegramError(status, "the file cannot be fetched")


def _fetch(
    token: str, verb: str, path: str, at_most: int, parameters: dict[str, Any] | None = None
) -> tuple[bytes, int]:
    deadline = time.monotonic() + TOTAL_SECONDS
    try:
        url = f"{settings.TELEGRAM_API_URL}{path}"
        with _client(token).stream(verb, url, json=parameters) as response:
            content = bytearray()
            for piece in response.iter_bytes():
                content += piece
                if len(content) > at_most:
                    raise TooLarge(path.partition("/file/")[0] or "a file")
                if time.monotonic() > deadline:
                    raise TelegramAway("not answered in time")
            return bytes(content), response.status_code
    except httpx.HTTPError as error:
        raise TelegramAway(type(error).__name__) from None
