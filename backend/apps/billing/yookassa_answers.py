"""YooKassa's JSON read into the gateway's terms; nothing is believed that is not as documented."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, TypeVar

from apps.billing.gateway import (
    Cancellation,
    GatewayError,
    NotThere,
    PaymentMethod,
    PaymentStatus,
    ProviderPayment,
    ProviderRefund,
    RefundStatus,
    Refused,
    TooMany,
    Unauthorized,
    Unknown,
)

LONGEST_DETAIL = 300
LONGEST_PAUSE = timedelta(hours=1)

E = TypeVar("E", bound=Enum)
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes
    retry_after: str


class Unreadable(Exception):
    """Which field is not as documented. Its value stays out: it may be anybody's."""


def read_payment(body: Any) -> ProviderPayment:
    payment = _mapping(body, "payment")
    confirmation = _mapping(payment.get("confirmation") or {}, "confirmation")
    return ProviderPayment(
        id=_id(payment, "id"),
        status=_choice(payment, "status", PaymentStatus),
        amount=_roubles(payment, "amount"),
        refunded=_roubles(payment, "refunded_amount", absent=Decimal("0.00")),
        created_at=_time(payment, "created_at"),
        captured_at=_time(payment, "captured_at") if payment.get("captured_at") else None,
        confirmation_url=_text(confirmation, "confirmation_url", absent=""),
        method=_part(payment, "payment_method", _method),
        cancellation=_part(payment, "cancellation_details", _cancellation),
        metadata={
            str(name): str(value)
            for name, value in _mapping(payment.get("metadata") or {}, "metadata").items()
        },
        test=payment.get("test") is True,
    )


def read_refund(body: Any) -> ProviderRefund:
    refund = _mapping(body, "refund")
    return ProviderRefund(
        id=_id(refund, "id"),
        payment=_id(refund, "payment_id"),
        status=_choice(refund, "status", RefundStatus),
        amount=_roubles(refund, "amount"),
        created_at=_time(refund, "created_at"),
        cancellation=_part(refund, "cancellation_details", _cancellation),
    )


def read_page(body: Any) -> tuple[list[ProviderPayment], str]:
    """Payments of a page, and the cursor of the next one; empty after the last."""
    page = _mapping(body, "page")
    items = page.get("items")
    if not isinstance(items, list):
        raise Unreadable("items")
    return [read_payment(item) for item in items], _text(page, "next_cursor", absent="")


def error_of(answer: Answer, method: str) -> GatewayError:
    """Which error an answer other than 200 is, by status and code together.

    https://yookassa.ru/developers/using-api/response-handling/http-codes
    """
    code, detail, parameter = _read_error(answer.content)
    match answer.status, code:
        case 429, _:  # whoever says it, nothing was done
            return TooMany("too_many_requests", detail, after=_pause(answer.retry_after))
        case 400, "invalid_request" if parameter == "Idempotence-Key":
            # The key belongs to another request, and what came of that is not said.
            return Unknown("key_used", detail)
        case 400, "invalid_request":
            return Refused(code, f"{parameter}: {detail}" if parameter else detail)
        case 401, "invalid_credentials":
            return Unauthorized(code, detail)
        case 403, "forbidden":
            return Unauthorized(code, detail)
        case 404, "not_found":
            return NotThere(code, detail) if method == "GET" else Refused(code, detail)
        case 500, "internal_server_error":
            return Unknown(code, detail)
    return Unknown("undocumented_answer", f"status {answer.status}, code {code or 'none'}")


def _pause(retry_after: str) -> timedelta:
    """What Retry-After says, in seconds or as a date; nothing where it says nothing sensible."""
    if re.fullmatch(r"\d{1,9}", retry_after):
        return min(timedelta(seconds=int(retry_after)), LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return timedelta()
    if until.tzinfo is None:
        return timedelta()
    return max(timedelta(), min(until - datetime.now(UTC), LONGEST_PAUSE))


def _read_error(content: bytes) -> tuple[str, str, str]:
    """Code, description and parameter of an error; three times nothing where it is not one."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return "", "", ""
    if not isinstance(body, dict) or body.get("type") != "error":
        return "", "", ""
    code, description, parameter = (
        value[:LONGEST_DETAIL] if isinstance(value := body.get(name), str) else ""
        for name in ("code", "description", "parameter")
    )
    return code, description, parameter


def _method(method: Mapping[str, Any]) -> PaymentMethod:
    return PaymentMethod(
        id=_id(method, "id"),
        type=_text(method, "type"),
        saved=method.get("saved") is True,
        title=_text(method, "title", absent=""),
    )


def _cancellation(details: Mapping[str, Any]) -> Cancellation:
    return Cancellation(party=_text(details, "party"), reason=_text(details, "reason"))


def _part(of: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any]], T]) -> T | None:
    if of.get(name) is None:
        return None
    part = _mapping(of[name], name)
    try:
        return read(part)
    except Unreadable as error:
        raise Unreadable(f"{name}.{error}") from None


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable(name)
    return value


def _text(of: Mapping[str, Any], name: str, *, absent: str | None = None) -> str:
    value = of.get(name)
    if value in (None, "") and absent is not None:
        return absent
    if not isinstance(value, str) or not value:
        raise Unreadable(name)
    return value


def _id(of: Mapping[str, Any], name: str) -> str:
    value = _text(of, name)
    if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", value):
        raise Unreadable(name)
    return value


def _choice(of: Mapping[str, Any], name: str, choices: type[E]) -> E:
    try:
        return choices(of.get(name))
    except ValueError:
        raise Unreadable(name) from None


def _roubles(of: Mapping[str, Any], name: str, *, absent: Decimal | None = None) -> Decimal:
    if absent is not None and of.get(name) is None:
        return absent
    amount = _mapping(of.get(name), name)
    value = amount.get("value")
    if amount.get("currency") != "RUB" or not isinstance(value, str):
        raise Unreadable(name)
    if not re.fullmatch(r"[0-9]{1,12}\.[0-9]{2}", value):
        raise Unreadable(name)
    return Decimal(value)


def _time(of: Mapping[str, Any], name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(of, name))
    except ValueError:
        raise Unreadable(name) from None
    if moment.tzinfo is None:
        raise Unreadable(name)
    return moment.astimezone(UTC)
