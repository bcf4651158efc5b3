"""Who asks: proved by a token of ours, or by initData of Telegram, in `Authorization`.

Tokens are signed and expire; SECRET_KEY_FALLBACKS are believed. They name a login (`Session`),
and are void once that is closed.
"""

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db.models import F
from django.http import HttpRequest
from ninja.security.base import AuthBase

from apps.accounts.models import Session, User
from apps.accounts.services import get_or_create_user
from apps.accounts.telegram import LoginRefused, read_init_data
from config.logs import add_to_log_context

logger = logging.getLogger(__name__)

_ACCESS, _REFRESH = "accounts.session.access", "accounts.session.refresh"


@dataclass(frozen=True)
class Tokens:
    access: str
    refresh: str


def issue_tokens(session: Session) -> Tokens:
    """A pair for the login as it stands; an earlier refresh token is not good any more."""
    name = str(session.pk)
    return Tokens(
        access=signing.dumps({"session": name}, salt=_ACCESS),
        refresh=signing.dumps({"session": name, "turn": session.turn}, salt=_REFRESH),
    )


def read_access_token(token: str) -> User | None:
    """The active user whose login the token names, or None where it is not to be believed.

    One query. The user's `session_id` says which login it is.
    """
    claims = _read(token, _ACCESS, settings.ACCESS_TOKEN_LIFETIME)
    if claims is None:
        return None
    users = User.objects.filter(sessions=claims["session"], is_active=True)
    return users.annotate(session_id=F("sessions__pk")).first()


def read_refresh_token(token: str) -> tuple[UUID, int] | None:
    """The login and how often it was refreshed, or None where it is not to be believed."""
    claims = _read(token, _REFRESH, settings.REFRESH_TOKEN_LIFETIME)
    return None if claims is None else (UUID(claims["session"]), claims["turn"])


def _read(token: str, salt: str, lifetime: int) -> dict[str, Any] | None:
    try:
        claims: dict[str, Any] = signing.loads(token, salt=salt, max_age=lifetime)
    except signing.BadSignature:
        return None
    return claims


class _Authorization(AuthBase):
    """`Authorization: SCHEME PROOF`; puts the user on `request.user`."""

    openapi_type = "http"
    openapi_scheme: str

    def __call__(self, request: HttpRequest) -> User | None:
        scheme, _, proof = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != self.openapi_scheme:
            return None
        user = self.authenticate(proof)
        if user is not None:
            request.user = user
            add_to_log_context(user_id=str(user.pk))
        return user

    def authenticate(self, proof: str) -> User | None:
        raise NotImplementedError


class BearerAuth(_Authorization):
    openapi_scheme = "bearer"
    openapi_description = "An access token of `POST /auth/telegram`."

    def authenticate(self, proof: str) -> User | None:
        return read_access_token(proof)


class TelegramAuth(_Authorization):
    openapi_scheme = "tma"
    openapi_description = (
        "`Telegram.WebApp.initData`, as it is: what `POST /auth/telegram` takes, with the same "
        "checks. A person who was never here is made known."
    )

    def authenticate(self, proof: str) -> User | None:
        try:
            person = read_init_data(proof)
        except LoginRefused as error:
            logger.info("login refused", extra={"cause": str(error)})
            return None
        user = get_or_create_user(
            telegram_id=person.id, first_name=person.first_name, language=person.language
        )
        return user if user.is_active else None


logged_in = [BearerAuth(), TelegramAuth()]
"""What every route of the API asks for unless it says `auth=None`."""


def user_of(request: HttpRequest) -> User:
    """The user that `logged_in` found."""
    assert isinstance(request.user, User)
    return request.user


def session_of(request: HttpRequest) -> UUID | None:
    """The login by which they ask; None where Telegram's own word was enough."""
    return getattr(request.user, "session_id", None)
