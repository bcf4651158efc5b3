"""What the bot does about what it heard: it has meals recognised, and answers."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import override

from apps.accounts.models import User
from apps.accounts.services import get_or_create_user, today_of
from apps.ai.models import TEXT_LIMIT, Recognition
from apps.ai.photo_store import PhotoStoreAway
from apps.ai.pictures import BadPicture, Picture
from apps.ai.problems import Refused
from apps.ai.services import accept_recognition, request_recognition
from apps.bot import texts
from apps.bot.models import Update
from apps.bot.photos import fetch_picture, take_album
from apps.bot.updates import Event
from apps.jobs.errors import NotYet, Temporary
from apps.jobs.models import Job
from apps.jobs.services import CANCELED, bring_job_forward
from apps.messaging import telegram
from apps.messaging.services import open_chat, send_message
from apps.nutrition.queries import get_day

SOON, LOOK_AGAIN = timedelta(seconds=1), timedelta(minutes=1)
KEY_PREFIX = "telegram:"

Write = Callable[[], None]


def handle_update(update: Update) -> Write | None:
    """Do what was asked; returns what answers it."""
    event = Event(**update.event)
    user = get_or_create_user(
        telegram_id=event.telegram_id, first_name=event.first_name, language=event.language
    )
    if not user.is_active:
        return None
    open_chat(user=user)
    with override(user.language):
        match event.kind:
            case "text":
                return _handle_text(update, user, event.text)
            case "photo":
                return _handle_photos(update, user)
            case "press":
                return _handle_press(user, event)
            case "too_big":
                return _saying(user, _("This picture is too large for me. Please send it smaller."))
            case "other":
                text = f"{_('I understand photos and words.')} {texts.how_to_use()}"
                return _saying(user, text)


def _saying(user: User, text: str, **more: Any) -> Write:
    return lambda: _say(user, text, **more)


def _say(user: User, text: str, **more: Any) -> None:
    send_message(user=user, text=text, **more)


def _handle_text(update: Update, user: User, text: str) -> Write:
    command = text.split()[0].partition("@")[0].lower()
    if command == "/start":
        return _saying(user, texts.greeting(user), buttons=texts.app_button())
    if command == "/today":
        return _saying(user, _today(user), buttons=texts.app_button())
    if command.startswith("/"):
        return _saying(user, texts.how_to_use())
    return _have_recognized(update, user, text)


def _today(user: User) -> str:
    return texts.day(user, get_day(user=user, day=today_of(user)))


def _handle_photos(update: Update, user: User) -> Write | None:
    events = take_album(update)
    if not events:
        return None
    if len(events) > settings.DATA_UPLOAD_MAX_NUMBER_FILES:
        return _saying(user, texts.refusal("too_many_pictures"))
    words = "\n".join(event.text for event in events if event.text)
    return _have_recognized(
        update, user, words, lambda: [fetch_picture(event.file_id) for event in events]
    )


def _have_recognized(
    update: Update, user: User, text: str, fetch_pictures: Callable[[], list[Picture]] = list
) -> Write:
    """Ask what this comes to, and tell it; in between the update waits."""
    if len(text) > TEXT_LIMIT:
        return _saying(user, _("This is too long for me. Please describe one meal at a time."))
    recognition = _asked_already(update, user)
    if recognition is None:
        try:
            recognition = request_recognition(
                user=user,
                text=text,
                language=user.language,
                pictures=fetch_pictures(),
                idempotency_key=_key_of(update),
            )
        except (Refused, BadPicture) as refused:
            return _saying(user, texts.refusal(refused.code))
        except PhotoStoreAway as error:
            raise Temporary("photo_store_away", str(error)) from None
    if recognition.status in Recognition.OPEN:
        # Its end wakes the update, unless that was just being put off: so look soon at first.
        raise NotYet("recognition_open", min(SOON * 2**update.handed_back, LOOK_AGAIN))
    if recognition.error_code == CANCELED:
        return lambda: None
    said, buttons = texts.found(recognition)
    return _saying(user, said, buttons=buttons)


def _key_of(update: Update) -> str:
    return f"{KEY_PREFIX}{update.update_id}"


def _asked_already(update: Update, user: User) -> Recognition | None:
    return Recognition.objects.filter(user=user, idempotency_key=_key_of(update)).first()


def wake_update(job: Job) -> None:
    """A recognition has ended: if it was asked for in the chat, it is told there."""
    key = Recognition.objects.values_list("idempotency_key", flat=True).get(pk=job.pk) or ""
    update_id = key.removeprefix(KEY_PREFIX)
    if update_id != key and update_id.isdecimal() and len(update_id) < 19:
        for update in Update.objects.filter(update_id=int(update_id)):
            bring_job_forward(job=update)


def apologise(job: Job) -> None:
    """What somebody told the bot came to nothing, and that is our fault: they shall know."""
    if job.status != Job.Status.FAILED:
        return
    update = Update.objects.get(pk=job.pk)
    user = User.objects.filter(telegram_id=update.telegram_id).first()
    if user is not None:
        with override(user.language):
            text = texts.refusal("internal_error")
        _say(user, text, key=f"update:{update.update_id}")


def _handle_press(user: User, event: Event) -> Write | None:
    action, _colon, name = event.data.partition(":")
    recognition = _recognition_of(user, name)
    if recognition is None or action not in (texts.ACCEPT, texts.REJECT):
        _acknowledge(event, _("This button does nothing any more."))
        return None
    if action == texts.REJECT:
        said = _("It is in the diary already.") if recognition.meal_id else _("Not added.")
        _acknowledge(event, said)
        return _saying(user, said, key=f"rejected:{recognition.pk}")
    try:
        accept_recognition(recognition=recognition)
    except Refused as refused:
        _acknowledge(event, texts.refusal(refused.code))
        return None
    _acknowledge(event, _("Added."))
    text = "\n\n".join((_("Added to the diary."), _today(user)))
    return _saying(user, text, key=f"accepted:{recognition.pk}", buttons=texts.app_button())


def _recognition_of(user: User, name: str) -> Recognition | None:
    try:
        pk = UUID(name)
    except ValueError:
        return None
    return Recognition.objects.filter(pk=pk, user=user).first()


def _acknowledge(event: Event, text: str) -> None:
    """Stop the button's waiting and take the buttons away: kind, but nothing hangs on it."""
    with suppress(telegram.TelegramAway, telegram.TelegramError):
        telegram.call("answerCallbackQuery", callback_query_id=event.query_id, text=text[:200])
        telegram.call(
            "editMessageReplyMarkup", chat_id=event.telegram_id, message_id=event.message_id
        )


def export_updates(user: User) -> list[dict[str, Any]]:
    """What the user said to the bot and is still kept."""
    said = Update.objects.filter(telegram_id=user.telegram_id or 0).order_by("update_id")
    return [{"received_at": row.created_at, **row.event} for row in said]


def erase_updates(user: User) -> None:
    """Forget what the user said to the bot."""
    Update.objects.filter(telegram_id=user.telegram_id or 0).delete()
