"""Telegram Mini App login: who does the signed initData say is there?

https://core.telegram.org/bots/webapps#validating-data-received-via-the-mini-app
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import init_data_py
from django.conf import settings
from init_data_py.errors import InitDataError

CLOCK_SKEW = timedelta(seconds=60)
INIT_DATA_LENGTH = 8192


class LoginRefused(Exception):
    """One answer for everything forged, stale or malformed; the cause is for the log alone."""


@dataclass(frozen=True)
class TelegramUser:
    id: int
    first_name: str
    language: str


def read_init_data(init_data: str) -> TelegramUser:
    """Check the signature and the age of initData and say who it names.

    A page that was opened before the token was rotated holds data that the former one signed.
    Raises LoginRefused.
    """
    if not settings.TELEGRAM_BOT_TOKEN:
        raise LoginRefused("no bot token is configured")
    if len(init_data) > INIT_DATA_LENGTH:
        raise LoginRefused("too long")
    refused = None
    for token in (settings.TELEGRAM_BOT_TOKEN, *settings.TELEGRAM_BOT_TOKEN_FALLBACKS):
        try:
            data = init_data_py.validate_by_hash(
                init_data, token, expires_in=settings.TELEGRAM_LOGIN_MAX_AGE
            )
            break
        # Before the hash is checked a forged date can overflow, and a forged user nest without end.
        except (InitDataError, ValueError, OverflowError, RecursionError) as error:
            refused = refused or LoginRefused(type(error).__name__)
    else:
        assert refused
        raise refused
    if data.issued_at > datetime.now(UTC) + CLOCK_SKEW:
        raise LoginRefused("issued in the future")
    user = data.user
    if user is None or not 0 < user.id < 2**52 or getattr(user, "is_bot", False):
        raise LoginRefused("no person in it")
    if not _is_storable(user.first_name):
        raise LoginRefused("a name that PostgreSQL cannot hold")
    return TelegramUser(
        id=user.id, first_name=user.first_name or "", language=user.language_code or ""
    )


def _is_storable(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell
        return False
