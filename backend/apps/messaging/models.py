"""What we tell people: a row for every text that Telegram shall be given."""

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Func, Q, Value
from django.db.models.functions import Now

from apps.jobs.models import Job

KEY_LIMIT = 128


class Message(Job):
    """One call of sendMessage: a text that fits, or one part of a text that did not.

    Telegram knows no idempotency key. A send whose outcome is unknown is sent again, so what is
    told is told at least once; one whose outcome is known is never repeated.
    """

    task = "apps.messaging.tasks.deliver"
    # With the pauses below, a Telegram that is away for a day loses nothing.
    tries = 150
    backoff_limit = timedelta(minutes=10)

    # A user's own texts go when they do; an administrator's chat is nobody's.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="messages"
    )
    chat_id = models.BigIntegerField()
    # The order within a chat: transactions begin at the same time more often than one thinks.
    number = models.BigIntegerField(
        db_default=Func(Value("messaging_message_number"), function="nextval"), editable=False
    )
    text = models.TextField()
    # Telegram's own shape: rows of buttons.
    keyboard = models.JSONField(default=list)
    key = models.CharField(max_length=KEY_LIMIT, null=True)  # noqa: DJ001 (unique where there)
    part = models.PositiveSmallIntegerField(default=0)
    # What Telegram calls it; null where it was not sent.
    telegram_message_id = models.BigIntegerField(null=True)

    class Meta(Job.Meta):
        constraints = [
            models.UniqueConstraint(fields=["chat_id", "key", "part"], name="message_said_once")
        ]
        indexes = [
            *Job.Meta.indexes,
            models.Index(
                fields=["chat_id", "number"],
                name="message_open_of_chat",
                condition=Q(status__in=["pending", "running"]),
            ),
        ]


class ClosedChat(models.Model):
    """A chat that refuses us: the bot was blocked, or the account is gone. No row: it is open."""

    chat_id = models.BigIntegerField(primary_key=True)
    reason = models.CharField(max_length=255)
    closed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.chat_id}: {self.reason}"
