"""What changes messages: said, delivered, not wanted any more."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import translation
from django.utils.functional import Promise

from apps.accounts.models import User
from apps.jobs.errors import NotYet, Permanent, Temporary
from apps.jobs.models import Job
from apps.jobs.services import bring_job_forward, submit_job
from apps.messaging import pace, telegram
from apps.messaging.models import ClosedChat, Message
from apps.messaging.queries import next_message, wait_for_earlier
from apps.messaging.texts import split_text

logger = logging.getLogger(__name__)

BEHIND_ANOTHER = timedelta(seconds=5)
"""The one ahead wakes the next one; looking by itself is for when that gets lost."""
NO_SUCH_CHAT = ("chat not found", "PEER_ID_INVALID", "user is deactivated")

StrPromise = Promise | str


@dataclass(frozen=True)
class Button:
    """A button below a message that opens an address."""

    text: StrPromise
    url: str

    def shown(self) -> dict[str, Any]:
        """As Telegram takes it, in the language of the moment."""
        return {"text": str(self.text), "url": self.url}


class AppButton(Button):
    """Opens the address as the Mini App, so that Telegram vouches for who opened it."""

    def shown(self) -> dict[str, Any]:
        return {"text": str(self.text), "web_app": {"url": self.url}}


@dataclass(frozen=True)
class ActionButton:
    """A button whose press comes back to the bot as `data`, of at most 64 bytes."""

    text: StrPromise
    data: str

    def shown(self) -> dict[str, Any]:
        return {"text": str(self.text), "callback_data": self.data}


AnyButton = Button | ActionButton


def send_message(
    *, user: User, text: StrPromise, key: str | None = None, buttons: Sequence[AnyButton] = ()
) -> Message | None:
    """Tell the user, in their language; part of the caller's transaction.

    A lazy text is rendered here (with values in it: `django.utils.text.format_lazy`). One that
    is too long becomes several messages, the buttons below the last. The same `key` again makes
    no second message as long as the first is kept. Returns the (first) message; None where the
    user cannot be written to: no Telegram account, or the bot is blocked.
    """
    if user.telegram_id is None or ClosedChat.objects.filter(pk=user.telegram_id).exists():
        return None
    with translation.override(user.language):
        shown = str(text)
        keyboard = [[button.shown()] for button in buttons]
    return _say(user=user, chat_id=user.telegram_id, text=shown, key=key, keyboard=keyboard)


def tell_administrators(*, text: StrPromise, key: str | None = None) -> None:
    """Tell every chat of ADMIN_CHAT_IDS, in English, and the log in any case."""
    with translation.override("en"):
        shown = str(text)
    logger.warning("administrators told", extra={"text": shown, "key": key or ""})
    for chat_id in settings.ADMIN_CHAT_IDS:
        _say(user=None, chat_id=chat_id, text=shown, key=key, keyboard=[])


def _say(
    *, user: User | None, chat_id: int, text: str, key: str | None, keyboard: list[Any]
) -> Message:
    parts = split_text(text)
    if not parts:
        raise ValueError("a message needs a text")
    last = len(parts) - 1
    said = Message.objects.filter(chat_id=chat_id, key=key, part=0)
    if key is not None and (earlier := said.first()):
        return earlier
    try:
        with transaction.atomic():
            messages = [
                submit_job(
                    job=Message(
                        user=user,
                        chat_id=chat_id,
                        text=text,
                        keyboard=keyboard if part == last else [],
                        key=key,
                        part=part,
                    )
                )
                for part, text in enumerate(parts)
            ]
    except IntegrityError:  # somebody else said it at the same moment
        if key is None or not (earlier := said.first()):
            raise
        return earlier
    return messages[0]


def open_chat(*, user: User) -> None:
    """The user wrote to the bot: they want to hear from it again."""
    if user.telegram_id is not None:
        ClosedChat.objects.filter(pk=user.telegram_id).delete()


def deliver_message(message: Message) -> Callable[[], object] | None:
    """Give the message to Telegram; returns what keeps what came of it.

    Raises `jobs.errors.NotYet` where it may not go now, `Temporary` where Telegram is away, and
    `Permanent` where Telegram refuses it for what it says.
    """
    ahead = wait_for_earlier(message)
    if ahead is not None:
        raise NotYet("in_order", max(ahead, BEHIND_ANOTHER))
    if ClosedChat.objects.filter(pk=message.chat_id).exists():
        return None
    wait = pace.ask_for_turn(message.chat_id)
    if wait:
        raise NotYet("rate_limit", wait)
    try:
        sent = telegram.call("sendMessage", **_parameters(message))
    except telegram.TelegramAway as error:
        pace.note_failure(message.chat_id)
        raise Temporary("telegram_away", str(error)) from None
    except telegram.TelegramError as error:
        return _refused(message, error)
    pace.note_answer(message.chat_id)
    row = Message.objects.filter(pk=message.pk)
    return lambda: row.update(telegram_message_id=sent["message_id"])


def _parameters(message: Message) -> dict[str, Any]:
    # No parse_mode: what a user called their soup is shown, not obeyed.
    parameters: dict[str, Any] = {
        "chat_id": message.chat_id,
        "text": message.text,
        "link_preview_options": {"is_disabled": True},
    }
    if message.keyboard:
        parameters["reply_markup"] = {"inline_keyboard": message.keyboard}
    return parameters


def _refused(message: Message, error: telegram.TelegramError) -> Callable[[], object]:
    if error.status == httpx.codes.TOO_MANY_REQUESTS:
        after = error.retry_after or 1.0
        pace.note_wish_to_wait(message.chat_id, after)
        raise NotYet("telegram_busy", timedelta(seconds=after))
    if error.status in (httpx.codes.UNAUTHORIZED, httpx.codes.NOT_FOUND):
        # The token is wrong: an operator's to mend, and then everything shall go.
        pace.note_failure(message.chat_id)
        raise Temporary("telegram_token", str(error))
    pace.note_answer(message.chat_id)
    gone = error.status == httpx.codes.FORBIDDEN or error.description.endswith(NO_SUCH_CHAT)
    if gone and message.user_id is not None:  # administrators shall hear of it as a dead letter
        return lambda: _close_chat(message, error.description)
    raise Permanent("telegram_refused", str(error))


def _close_chat(message: Message, reason: str) -> None:
    closed = {"reason": reason[:255]}
    ClosedChat.objects.get_or_create(chat_id=message.chat_id, defaults=closed)
    logger.info("chat closed", extra={"reason": reason})


def wake_next(job: Job) -> None:
    """A message has come to its end: the next of its chat may go when that second is over."""
    behind = next_message(Message.objects.get(pk=job.pk))
    if behind is not None:
        bring_job_forward(job=behind, after=timedelta(milliseconds=pace.CHAT_MS))


def erase_messages(user: User) -> None:
    """Forget what the user was told, and what never reached them."""
    Message.objects.filter(user=user).delete()
    open_chat(user=user)
