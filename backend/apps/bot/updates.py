"""Reading what Telegram tells a webhook: https://core.telegram.org/bots/api#update"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

ALLOWED_UPDATES = ("message", "callback_query")
"""What we ask to be told of: not what was edited, nor what happens in groups and channels."""

LARGEST_PHOTO = 10 * 1024**2
PICTURES = ("image/jpeg", "image/png", "image/webp", "image/heic", "image/heif")


@dataclass(frozen=True, kw_only=True)
class Event:
    """What somebody did in their own chat with the bot.

    text: they wrote `text`. photo: they sent the picture `file_id`, with `text` below it.
    too_big: a picture that is larger than what is taken. press: they pressed the button `data`
    below the message `message_id`. other: anything else, such as a voice or a sticker.
    """

    kind: Literal["text", "photo", "too_big", "press", "other"]
    telegram_id: int
    first_name: str = ""
    language: str = ""
    text: str = ""
    file_id: str = ""
    album: str = ""
    query_id: str = ""
    data: str = ""
    message_id: int = 0


class Malformed(Exception):
    """Not an update."""


def read_update(body: Any) -> tuple[int, Event | None]:
    """The update's id, and what happened; None where it is nothing that we answer.

    Raises Malformed.
    """
    try:
        update_id = body["update_id"]
        if type(update_id) is not int or not 0 <= update_id < 2**63:
            raise Malformed
        if "message" in body:
            return update_id, _read_message(body["message"])
        if "callback_query" in body:
            return update_id, _read_press(body["callback_query"])
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Malformed from None
    return update_id, None


def _read_message(message: Mapping[str, Any]) -> Event | None:
    if message["chat"]["type"] != "private" or "from" not in message:
        return None
    person = _read_person(message["from"])
    if person is None:
        return None
    text = _clean(message.get("text") or message.get("caption") or "")
    album = str(message.get("media_group_id", ""))[:64]
    photos = list(_photos(message))
    if photos:
        fitting = [photo for photo in photos if photo.get("file_size", 0) <= LARGEST_PHOTO]
        if not fitting:
            return Event(kind="too_big", **person)
        largest = max(fitting, key=lambda photo: photo.get("width", 0) * photo.get("height", 0))
        file_id = str(largest["file_id"])
        return Event(kind="photo", file_id=file_id, text=text, album=album, **person)
    if "text" in message and text:
        return Event(kind="text", text=text, **person)
    return Event(kind="other", **person)


def _photos(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The sizes of a photo, or the one picture that was sent as a file."""
    yield from message.get("photo") or ()
    document = message.get("document") or {}
    if document.get("mime_type") in PICTURES:
        yield document


def _read_press(query: Mapping[str, Any]) -> Event | None:
    person = _read_person(query["from"])
    message = query.get("message") or {}
    # Who forwards a message does not forward its buttons, so a chat is its reader's own.
    if person is None or message.get("chat", {}).get("id") != person["telegram_id"]:
        return None
    return Event(
        kind="press",
        query_id=str(query["id"]),
        data=_clean(query.get("data", ""))[:64],
        message_id=int(message["message_id"]),
        **person,
    )


def _read_person(person: Mapping[str, Any]) -> dict[str, Any] | None:
    telegram_id = person["id"]
    if type(telegram_id) is not int:
        raise Malformed
    if person.get("is_bot") or not 0 < telegram_id < 2**52:
        return None
    return {
        "telegram_id": telegram_id,
        "first_name": _clean(person.get("first_name", "")),
        "language": _clean(person.get("language_code") or "")[:2],
    }


def _clean(text: str) -> str:
    """Without what PostgreSQL cannot hold: NUL, and half a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode().strip()
