"""What reads messages: who is ahead of whom in a chat, and what was told to somebody."""

from datetime import timedelta
from typing import Any

from django.db.models import DurationField, ExpressionWrapper, F, QuerySet
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.messaging.models import ClosedChat, Message


def wait_for_earlier(message: Message) -> timedelta | None:
    """How long until the first message of the chat may go; None where this one is the first."""
    left = ExpressionWrapper(F("run_after") - Now(), DurationField())
    waits: timedelta | None = (
        _open_of_chat(message)
        .filter(number__lt=message.number)
        .order_by("number")
        .values_list(left, flat=True)
        .first()
    )
    return waits


def next_message(message: Message) -> Message | None:
    """The one that is the first of its chat once this one is done."""
    behind = _open_of_chat(message).filter(number__gt=message.number)
    return behind.order_by("number").first()


def _open_of_chat(message: Message) -> QuerySet[Message]:
    return Message.objects.filter(chat_id=message.chat_id, status__in=Message.OPEN)


def export_messages(user: User) -> dict[str, Any]:
    """What the user was told and is still kept, and whether they closed their chat."""
    told = Message.objects.filter(user=user).order_by("number")
    closed = ClosedChat.objects.filter(chat_id=user.telegram_id or 0).first()
    return {
        "closed_at": closed and closed.closed_at,
        "messages": list(told.values("text", "created_at", "finished_at", "status")),
    }
