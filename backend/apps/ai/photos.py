"""Photos of recognitions: kept, looked at, and forgotten in time."""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts.models import User
from apps.ai import photo_store
from apps.ai.models import Photo, Recognition
from apps.ai.photo_store import PhotoStoreAway
from apps.ai.pictures import Picture
from apps.jobs.errors import NotYet, Permanent, Temporary

logger = logging.getLogger(__name__)

# Well below the lease of a job; what is left is done by its next turn.
LOADING_SECONDS = 5.0
REMOVING_SECONDS = 60.0
# A file is there before its row; one without a row after this has none.
ORPHAN_AFTER = timedelta(days=1)


def keep_pictures(pictures: Sequence[Picture]) -> list[Photo]:
    """Write the files. The photos are for `attach_photos`, in the transaction of the recognition.

    Raises PhotoStoreAway, and keeps none. Where the transaction comes to nothing, the files go
    by `drop_pictures`, or else in the night after the next.
    """
    photos: list[Photo] = []
    try:
        for position, picture in enumerate(pictures, 1):
            photos.append(
                Photo(
                    position=position,
                    key=photo_store.save_file(picture.jpeg),
                    sha256=picture.sha256,
                    size=len(picture.jpeg),
                    width=picture.width,
                    height=picture.height,
                )
            )
    except PhotoStoreAway:
        drop_pictures(photos)
        raise
    return photos


def drop_pictures(photos: Sequence[Photo]) -> None:
    """Remove files that no row will name, as far as that is possible now."""
    for photo in photos:
        try:
            photo_store.delete_file(photo.key)
        except PhotoStoreAway:
            return


def attach_photos(*, recognition: Recognition, photos: Sequence[Photo]) -> None:
    for photo in photos:
        photo.recognition = recognition
    Photo.objects.bulk_create(photos)


def load_pictures(recognition: Recognition) -> list[bytes]:
    """The JPEGs that a provider is to see. Raises `jobs.errors` Temporary and Permanent."""
    enough = time.monotonic() + LOADING_SECONDS
    return [_load(photo, enough) for photo in recognition.photos.all()]


def _load(photo: Photo, enough: float) -> bytes:
    if time.monotonic() > enough:
        raise Temporary("photo_store_away", f"not all photos within {LOADING_SECONDS} s")
    try:
        jpeg = photo_store.load_file(photo.key)
    except FileNotFoundError:
        jpeg = b""
    except PhotoStoreAway as error:
        raise Temporary("photo_store_away", str(error)) from None
    if len(jpeg) != photo.size:  # a row outlives a power cut that its file did not
        raise Permanent("photo_lost", f"the file of photo {photo.pk} is gone or cut off")
    return jpeg


def remove_expired_photos() -> None:
    """Remove the files of photos past PHOTO_RETENTION_DAYS; the rows stay and say so."""
    remove_files(Photo.objects.filter(created_at__lt=Now() - settings.PHOTO_RETENTION))


def remove_files(photos: QuerySet[Photo]) -> None:
    """Remove the files of these photos, each marked as it goes.

    Raises Temporary where some could not be, and NotYet where time ran out.
    """
    enough = time.monotonic() + REMOVING_SECONDS
    removed, failed = 0, 0
    for pk, key in photos.filter(deleted_at=None).order_by("created_at").values_list("pk", "key"):
        if time.monotonic() > enough:
            raise NotYet("more_to_remove", after=timedelta())
        try:
            photo_store.delete_file(key)
        except PhotoStoreAway:
            failed += 1
            continue
        Photo.objects.filter(pk=pk).update(deleted_at=Now())
        removed += 1
    logger.info("photos removed", extra={"removed": removed, "failed": failed})
    if failed:
        raise Temporary("photo_store_away", f"{failed} photos could not be removed")


def remove_orphans() -> None:
    """Remove files that no row names: of transactions that came to nothing.

    Raises Temporary and NotYet, as above.
    """
    enough = time.monotonic() + REMOVING_SECONDS
    newest = (timezone.now() - ORPHAN_AFTER).astimezone(UTC).date()
    removed = 0
    try:
        for day in photo_store.list_days():
            if day >= newest:
                break
            if time.monotonic() > enough:
                raise NotYet("more_to_remove", after=timedelta())
            keys = set(photo_store.list_keys(day))
            named = Photo.objects.filter(key__startswith=f"{day}/", deleted_at=None)
            orphans = keys - set(named.values_list("key", flat=True))
            for key in orphans:
                photo_store.delete_file(key)
            removed += len(orphans)
            if keys == orphans:
                photo_store.forget_day(day)
    except PhotoStoreAway as error:
        raise Temporary("photo_store_away", str(error)) from None
    logger.info("files without a photo removed", extra={"removed": removed})


def export_photos(user: User) -> list[dict[str, Any]]:
    fields = ("recognition_id", "position", "created_at", "width", "height", "size", "deleted_at")
    return list(_photos_of(user).order_by("created_at", "position").values(*fields))


def erase_photo_files(user: User) -> None:
    """Raises Temporary and NotYet where some are left."""
    remove_files(_photos_of(user))


def erase_photos(user: User) -> None:
    _photos_of(user).delete()


def _photos_of(user: User) -> QuerySet[Photo]:
    return Photo.objects.filter(recognition__user=user)
