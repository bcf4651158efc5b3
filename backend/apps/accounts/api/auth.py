"""Logging in, staying so, and leaving."""

import logging

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Field, Router, Schema, Status
from pydantic import ConfigDict

from apps.accounts.limits import login_limit
from apps.accounts.models import Session, User
from apps.accounts.queries import is_leaving
from apps.accounts.services import (
    close_session,
    get_or_create_user,
    open_session,
    refresh_session,
)
from apps.accounts.telegram import INIT_DATA_LENGTH, LoginRefused, read_init_data
from apps.accounts.tokens import (
    issue_tokens,
    logged_in,
    read_refresh_token,
    session_of,
)
from config.problems import BODY_PROBLEMS, Problem, ProblemOut

logger = logging.getLogger(__name__)
router = Router(auth=None, throttle=login_limit)
development_router = Router(auth=None, throttle=login_limit)

TOKEN = "eyJzZXNzaW9uIjoi…:1vMXyz:…"  # noqa: S105 (the look of one)


class Login(Schema):
    time_zone: str = Field(
        "", max_length=64, description="IANA name, for the first login; unknown ones are ignored"
    )


class TelegramLogin(Login):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "init_data": "query_id=AAH…&user=%7B%22id%22%3A42…&auth_date=1763…&hash=c501…",
                "time_zone": "Europe/Moscow",
            }
        }
    )

    init_data: str = Field(
        max_length=INIT_DATA_LENGTH, description="`Telegram.WebApp.initData`, as it is"
    )


class DevelopmentLogin(Login):
    telegram_id: int = Field(gt=0, lt=2**52, examples=[42])


class Refresh(Schema):
    model_config = ConfigDict(json_schema_extra={"example": {"refresh_token": TOKEN}})

    refresh_token: str = Field(max_length=1024)


class Token(Schema):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "access_token": TOKEN,
                "expires_in": 3600,
                "refresh_token": TOKEN,
                "refresh_expires_in": 2592000,
            }
        }
    )

    access_token: str = Field(description="For `Authorization: Bearer …`")
    expires_in: int = Field(description="Seconds")
    refresh_token: str = Field(description="For `POST /auth/refresh`; good for once")
    refresh_expires_in: int = Field(description="Seconds")

    @classmethod
    def of(cls, session: Session) -> "Token":
        tokens = issue_tokens(session)
        return cls(
            access_token=tokens.access,
            expires_in=settings.ACCESS_TOKEN_LIFETIME,
            refresh_token=tokens.refresh,
            refresh_expires_in=settings.REFRESH_TOKEN_LIFETIME,
        )


def _log_in(user: User) -> Token:
    if not user.is_active:
        raise _leaving() if is_leaving(user=user) else _refused()
    return Token.of(open_session(user=user))


def _refused() -> Problem:
    return Problem(401, "login_refused", _("Telegram does not vouch for this login"))


def _leaving() -> Problem:
    return Problem(
        409,
        "account_being_deleted",
        _("This account is being deleted"),
        _("You can begin anew in a few minutes."),
    )


@router.post(
    "/telegram",
    response={200: Token, 401: ProblemOut, 409: ProblemOut, **BODY_PROBLEMS},
    summary="Log in from a Telegram Mini App",
)
def log_in_with_telegram(request: HttpRequest, login: TelegramLogin) -> Token:
    """Whatever is wrong with the initData (its signature, its age, whom it names), the answer is
    the same `login_refused`. It is good for an hour. Who was never here is made known; who is
    being deleted is told so (`account_being_deleted`) until nothing is known of them."""
    try:
        person = read_init_data(login.init_data)
    except LoginRefused as error:
        logger.info("login refused", extra={"cause": str(error)})
        raise _refused() from None
    return _log_in(
        get_or_create_user(
            telegram_id=person.id,
            first_name=person.first_name,
            language=person.language,
            time_zone=login.time_zone,
        )
    )


@router.post(
    "/refresh",
    response={200: Token, 401: ProblemOut, **BODY_PROBLEMS},
    summary="Exchange a refresh token for a new pair",
)
def refresh(request: HttpRequest, body: Refresh) -> Token:
    """A refresh token is good for once. One that comes a second time ends its login, since it
    may be stolen: access tokens are void then as well, and `not_authenticated` says to log in."""
    known = read_refresh_token(body.refresh_token)
    session = known and refresh_session(pk=known[0], turn=known[1])
    if session is None:
        raise Problem(401, "not_authenticated", _("Please log in"))
    return Token.of(session)


@router.post(
    "/logout",
    auth=logged_in,
    response={204: None, 401: ProblemOut},
    summary="Log out",
)
def log_out(request: HttpRequest) -> Status[None]:
    """Voids what was issued for the login of this access token, and for no other login. Who came
    with initData has no login to end."""
    session = session_of(request)
    if session is not None:
        close_session(pk=session)
    return Status(204, None)


@development_router.post(
    "/development",
    response={200: Token, 401: ProblemOut, 409: ProblemOut, **BODY_PROBLEMS},
    summary="Log in as anybody (development only)",
)
def log_in_for_development(request: HttpRequest, login: DevelopmentLogin) -> Token:
    """Whoever has this Telegram id, who is made known if they were never here. The route is
    there where `DEVELOPMENT_LOGIN` is on, which production refuses."""
    return _log_in(get_or_create_user(telegram_id=login.telegram_id, time_zone=login.time_zone))
