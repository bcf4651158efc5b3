"""Logging in."""

import logging

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Field, Router, Schema

from apps.accounts.limits import login_limit
from apps.accounts.models import User
from apps.accounts.services import get_or_create_user
from apps.accounts.telegram import LoginRefused, read_init_data
from apps.accounts.tokens import issue_access_token
from config.problems import BODY_PROBLEMS, Problem, ProblemOut

logger = logging.getLogger(__name__)
router = Router(throttle=login_limit)
development_router = Router(throttle=login_limit)


class Login(Schema):
    time_zone: str = Field(
        "", max_length=64, description="IANA name, for the first login; unknown ones are ignored"
    )


class TelegramLogin(Login):
    init_data: str = Field(max_length=8192, description="`Telegram.WebApp.initData`, as it is")


class DevelopmentLogin(Login):
    telegram_id: int = Field(gt=0, lt=2**52)


class Token(Schema):
    access_token: str
    expires_in: int = Field(description="Seconds")


def _token(user: User) -> Token:
    if not user.is_active:
        raise _refused()
    return Token(access_token=issue_access_token(user), expires_in=settings.ACCESS_TOKEN_LIFETIME)


def _refused() -> Problem:
    return Problem(401, "login_refused", _("Telegram does not vouch for this login"))


@router.post(
    "/telegram",
    response={200: Token, 401: ProblemOut, **BODY_PROBLEMS},
    summary="Log in from a Telegram Mini App",
)
def log_in_with_telegram(request: HttpRequest, login: TelegramLogin) -> Token:
    try:
        person = read_init_data(login.init_data)
    except LoginRefused as error:
        logger.info("login refused", extra={"cause": str(error)})
        raise _refused() from None
    return _token(
        get_or_create_user(
            telegram_id=person.id,
            first_name=person.first_name,
            language=person.language,
            time_zone=login.time_zone,
        )
    )


@development_router.post(
    "/development",
    response={200: Token, **BODY_PROBLEMS},
    summary="Log in as anybody (development only)",
)
def log_in_for_development(request: HttpRequest, login: DevelopmentLogin) -> Token:
    return _token(get_or_create_user(telegram_id=login.telegram_id, time_zone=login.time_zone))
