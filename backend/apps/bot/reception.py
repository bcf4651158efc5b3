"""Hearing what Telegram tells: in the request, and so with no more than a row to write.

By itself, because the limits bring in what only the HTTP API needs.
"""

from dataclasses import asdict
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django.utils.translation import override

from apps.accounts.limits import Limit, take
from apps.accounts.models import User
from apps.bot.models import Update
from apps.bot.updates import Event
from apps.jobs.services import submit_job
from apps.messaging.services import send_message

HEARD = Limit("bot", requests=20, seconds=60)
"""What one person may tell the bot; beyond it nothing is kept, and once a minute it is said."""
ASKED_TO_SLOW_DOWN = Limit("bot-slow", requests=1, seconds=60)

ALBUM_GATHERS = timedelta(seconds=2)


def receive_update(*, update_id: int, event: Event) -> Update | None:
    """Keep the update to be handled; None where it is known already, or one too many."""
    if take(HEARD, str(event.telegram_id)):
        _ask_to_slow_down(event)
        return None
    update = Update(
        update_id=update_id,
        telegram_id=event.telegram_id,
        event=asdict(event),
        album=event.album,
    )
    try:
        with transaction.atomic():
            return submit_job(job=update, after=ALBUM_GATHERS if event.album else timedelta())
    except IntegrityError:
        return None


def _ask_to_slow_down(event: Event) -> None:
    user = User.objects.filter(telegram_id=event.telegram_id, is_active=True).first()
    if user is not None and not take(ASKED_TO_SLOW_DOWN, str(event.telegram_id)):
        with override(user.language):
            send_message(user=user, text=_("That is too fast for me. Please wait a minute."))
