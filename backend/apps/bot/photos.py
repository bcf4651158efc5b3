"""Photos that were sent to the bot: those of one album together, fetched from Telegram."""

from datetime import timedelta

from django.db import transaction

from apps.ai.pictures import BadPicture, Picture, PicturesBusy, read_picture
from apps.bot.models import Update
from apps.bot.updates import LARGEST_PHOTO, Event
from apps.jobs.errors import NotYet, Temporary
from apps.messaging import telegram

BUSY = timedelta(seconds=5)


def take_album(update: Update) -> list[Event]:
    """The photo, or all of its album that have come by now; none where another took this one."""
    if not update.album:
        return [Event(**update.event)]
    with transaction.atomic():
        album = Update.objects.filter(telegram_id=update.telegram_id, album=update.album)
        # no_key: whoever is rung for meanwhile is not taken for one that is being done.
        locked = list(album.select_for_update(no_key=True).order_by("update_id"))
        ours = [each for each in locked if each.taken_by_id in (None, update.pk)]
        if update not in ours:
            return []
        album.filter(pk__in=[each.pk for each in ours]).update(taken_by=update)
    return [Event(**each.event) for each in ours]


def fetch_picture(file_id: str) -> Picture:
    """Download the photo and read it; one at a time, since it is held in memory.

    Raises BadPicture, and `jobs.errors` Temporary and NotYet.
    """
    try:
        file = telegram.call("getFile", file_id=file_id)
        content = telegram.download_file(file["file_path"], at_most=LARGEST_PHOTO)
    except telegram.TooLarge:
        raise BadPicture("picture_too_big") from None
    except telegram.TelegramAway as error:
        raise Temporary("telegram_away", str(error)) from None
    except telegram.TelegramError as error:
        if error.retry_after is not None:
            raise NotYet("telegram_busy", timedelta(seconds=error.retry_after)) from None
        raise BadPicture("picture_unreadable") from None  # deleted meanwhile, or never there
    try:
        return read_picture(content)
    except PicturesBusy:
        raise NotYet("pictures_busy", BUSY) from None
