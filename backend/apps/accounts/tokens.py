"""Bearer tokens: signed, expiring, believed through SECRET_KEY_FALLBACKS."""

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from ninja.security import HttpBearer

from apps.accounts.models import User
from config.logs import add_to_log_context

_SALT = "accounts.access"


def issue_access_token(user: User) -> str:
    return signing.dumps({"user": user.pk}, salt=_SALT)


def read_access_token(token: str) -> User | None:
    """The active user whom the token names, or None where it is not to be believed."""
    try:
        claims = signing.loads(token, salt=_SALT, max_age=settings.ACCESS_TOKEN_LIFETIME)
    except signing.BadSignature:
        return None
    return User.objects.filter(pk=claims["user"], is_active=True).first()


class BearerAuth(HttpBearer):
    """`Authorization: Bearer …` on an API route; puts the user on `request.user`."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        user = read_access_token(token)
        if user is not None:
            request.user = user
            add_to_log_context(user_id=str(user.pk))
        return user


bearer = BearerAuth()


def user_of(request: HttpRequest) -> User:
    """The user that `bearer` found."""
    assert isinstance(request.user, User)
    return request.user
