"""Is a secret believed? Asked of whoever has to believe it, or has to have stopped believing it.

HERE are our own ends, asked in the container that serves; THERE are other people's.
"""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
from django.conf import settings
from django.core import signing
from django.urls import reverse
from init_data_py import sign

from apps.accounts.telegram import LoginRefused, read_init_data
from apps.ai import keys
from apps.billing.gateway import GatewayError, Unauthorized
from apps.billing.yookassa import YooKassa
from apps.messaging import telegram

BACKEND = "http://127.0.0.1:8000"
WRONG_PASSWORD = "password authentication failed"  # noqa: S105 (what PostgreSQL says)


class Untold(Exception):
    """Nobody said whether the secret is good."""


def _signs_tokens(key: str) -> bool:
    salt = "operations.trial"
    try:
        signing.loads(signing.dumps({}, key=key, salt=salt), salt=salt)
    except signing.BadSignature:
        return False
    return True


def _proves_who_logs_in(token: str) -> bool:
    person = {"user": json.dumps({"id": 1, "first_name": "Trial"})}
    try:
        read_init_data(sign(person, token))
    except LoginRefused:
        return False
    return True


def _opens_the_webhook(secret: str) -> bool:
    """An update that is none: 400 from whoever listened, 403 from whoever did not."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": secret}
    try:
        url = f"{BACKEND}{reverse('bot-webhook')}"
        answer = httpx.post(url, json={}, headers=headers, timeout=10, trust_env=False)
    except httpx.HTTPError as error:
        raise Untold(f"the backend does not answer: {type(error).__name__}") from None
    if answer.status_code not in (httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN):
        raise Untold(f"the backend answers {answer.status_code}")
    return answer.status_code == httpx.codes.BAD_REQUEST


def _opens_the_database(role_and_password: str) -> bool:
    """Given as ROLE:PASSWORD."""
    role, _, password = role_and_password.partition(":")
    database = settings.DATABASES["default"]
    try:
        psycopg.connect(
            host=database["HOST"],
            port=database["PORT"],
            dbname=database["NAME"],
            user=role,
            password=password,
            connect_timeout=5,
        ).close()
    except psycopg.OperationalError as error:
        if WRONG_PASSWORD in str(error):
            return False
        raise Untold(str(error)) from None
    return True


def _opens_the_bot(token: str) -> bool:
    try:
        return telegram.is_believed(token)
    except (telegram.TelegramError, telegram.TelegramAway) as error:
        raise Untold(f"Telegram says: {error}") from None


def _opens_the_shop(secret_key: str) -> bool:
    """By a listing of the payments of the last second."""
    shop = YooKassa(
        shop_id=settings.YOOKASSA_SHOP_ID, secret_key=secret_key, url=settings.YOOKASSA_API_URL
    )
    now = datetime.now(UTC)
    try:
        next(shop.list_payments(created_gte=now - timedelta(seconds=1), created_lt=now), None)
    except Unauthorized:
        return False
    except GatewayError as error:
        raise Untold(f"YooKassa says: {error}") from None
    return True


HERE: Mapping[str, Callable[[str], bool]] = {
    "SECRET_KEY": _signs_tokens,
    "POSTGRES_PASSWORD": _opens_the_database,
    "TELEGRAM_BOT_TOKEN": _proves_who_logs_in,
    "TELEGRAM_BOT_API_SECRET": _opens_the_webhook,
}
THERE: Mapping[str, Callable[[str], bool]] = {
    "TELEGRAM_BOT_TOKEN": _opens_the_bot,
    "YOOKASSA_SECRET_KEY": _opens_the_shop,
    "OPENROUTER_API_KEY": keys.openrouter_believes,
    "AI_PROXY_SECRET": keys.proxy_believes,
}


def is_believed(where: str, name: str, secret: str) -> bool:
    """Whether this end believes it. Raises Untold where it does not say.

    No library logs meanwhile: at their most talkative, some would tell what they send.
    """
    trials = {"here": HERE, "there": THERE}[where]
    logging.disable(logging.CRITICAL)
    try:
        return trials[name](secret)
    except keys.Untold as error:
        raise Untold(str(error)) from None
    finally:
        logging.disable(logging.NOTSET)
