"""The files of photos: in a directory or an S3-compatible bucket, as STORAGES says.

A key is `DAY/RANDOM.jpg`: it tells nothing about whose it is, and files that nobody knows are
looked for day by day. A file is whole before a row names it, and nobody reads what no row names.
"""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.utils import timezone

logger = logging.getLogger(__name__)


class PhotoStoreAway(Exception):
    """The disk is full, the bucket does not answer: another try may meet better weather."""


def save_file(jpeg: bytes) -> str:
    """Keep the bytes; the key to them. Raises PhotoStoreAway, and leaves nothing behind."""
    key = f"{timezone.now().astimezone(UTC):%Y-%m-%d}/{secrets.token_hex(16)}.jpg"
    with _weather():
        try:
            return _storage().save(key, ContentFile(jpeg))
        except BaseException:
            with suppress(Exception):
                _storage().delete(key)
            raise


def load_file(key: str) -> bytes:
    """Raises FileNotFoundError and PhotoStoreAway."""
    with _weather(), _storage().open(key) as file:
        data: bytes = file.read()
    return data


def delete_file(key: str) -> None:
    """Once it returns the file is gone, whether it was there or not. Raises PhotoStoreAway."""
    with _weather(), suppress(FileNotFoundError):
        _storage().delete(key)


def list_days() -> list[date]:
    """The days of which there are files, oldest first. Raises PhotoStoreAway."""
    with _weather():
        try:
            directories, _ = _storage().listdir("")
        except FileNotFoundError:
            return []
    days = []
    for name in directories:
        with suppress(ValueError):
            days.append(date.fromisoformat(name))
    return sorted(days)


def list_keys(day: date) -> list[str]:
    """Raises PhotoStoreAway."""
    with _weather():
        return [f"{day}/{name}" for name in _storage().listdir(str(day))[1]]


def forget_day(day: date) -> None:
    """Remove the directory of a day, where that is something, and empty."""
    with suppress(OSError):
        _storage().delete(str(day))


def _storage() -> Storage:
    return storages["photos"]


@contextmanager
def _weather() -> Iterator[None]:
    """Each storage raises errors of its own kinds."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        logger.exception("photos cannot be reached")
        raise PhotoStoreAway(str(error)) from error
