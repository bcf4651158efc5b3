"""What YooKassa takes: bodies and queries read as strictly as its reference states them.

https://yookassa.ru/developers/api
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from sandbox.service import Refused

PAYMENT_FIELDS = {
    "amount",
    "capture",
    "confirmation",
    "description",
    "metadata",
    "payment_method_id",
    "receipt",
    "save_payment_method",
}
REFUND_FIELDS = {"payment_id", "amount", "description", "receipt"}
LIST_FIELDS = {"limit", "cursor", *(f"created_at.{bound}" for bound in ("gte", "gt", "lte", "lt"))}


class Invalid(Refused):
    """What was asked is not as documented, or cannot be done."""

    def __init__(self, description: str, parameter: str = "", status: int = 400) -> None:
        super().__init__(status, description)
        self.parameter = parameter


@dataclass(frozen=True, kw_only=True)
class PaymentWish:
    """A payment asked for; with `return_url` a person confirms it, with `method_id` nobody does."""

    amount: Decimal
    capture: bool
    save: bool
    description: str
    metadata: Mapping[str, str]
    return_url: str
    method_id: str
    receipt: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class RefundWish:
    payment_id: str
    amount: Decimal
    description: str
    receipt: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class ListWish:
    """A page of a list: payments older than number `before`, within bounds of creation."""

    limit: int = 10
    before: int | None = None
    bounds: Mapping[str, datetime] = field(default_factory=dict)

    def holds(self, moment: datetime) -> bool:
        tests = {
            "gte": moment.__ge__,
            "gt": moment.__gt__,
            "lte": moment.__le__,
            "lt": moment.__lt__,
        }
        return all(tests[name](bound) for name, bound in self.bounds.items())


def read_payment(body: Mapping[str, Any]) -> PaymentWish:
    _check_fields(body, PAYMENT_FIELDS)
    amount = read_amount(body.get("amount"))
    method_id = _text(body, "payment_method_id", 64)
    if bool(method_id) == ("confirmation" in body):
        raise Invalid("either confirmation or payment_method_id is needed", "confirmation")
    return PaymentWish(
        amount=amount,
        capture=_flag(body, "capture"),
        save=_flag(body, "save_payment_method"),
        description=_text(body, "description", 128),
        metadata=_metadata(body.get("metadata")),
        return_url="" if method_id else _return_url(body["confirmation"]),
        method_id=method_id,
        receipt=_receipt(body.get("receipt"), amount),
    )


def read_refund(body: Mapping[str, Any]) -> RefundWish:
    _check_fields(body, REFUND_FIELDS)
    amount = read_amount(body.get("amount"))
    payment_id = _text(body, "payment_id", 64)
    if not payment_id:
        raise Invalid("a refund needs a payment", "payment_id")
    return RefundWish(
        payment_id=payment_id,
        amount=amount,
        description=_text(body, "description", 250),
        receipt=_receipt(body.get("receipt"), amount),
    )


def read_list(query: Mapping[str, str]) -> ListWish:
    _check_fields(query, LIST_FIELDS)
    limit = query.get("limit", "10")
    if not re.fullmatch(r"\d{1,3}", limit) or not 1 <= int(limit) <= 100:
        raise Invalid("a page has 1 to 100 items", "limit")
    cursor = query.get("cursor", "")
    if cursor and not re.fullmatch(r"before-\d{1,12}", cursor):
        raise Invalid("this cursor is none of ours", "cursor")
    return ListWish(
        limit=int(limit),
        before=int(cursor.removeprefix("before-")) if cursor else None,
        bounds={
            name.removeprefix("created_at."): _time(name, text)
            for name, text in query.items()
            if name.startswith("created_at.")
        },
    )


def read_amount(value: Any, name: str = "amount") -> Decimal:
    match value:
        case {"value": str() as text, "currency": "RUB"} if re.fullmatch(r"\d{1,9}\.\d\d", text):
            if (amount := Decimal(text)) > 0:
                return amount
    raise Invalid("an amount is a text such as 100.00, above zero, in RUB", name)


def show_amount(amount: Decimal) -> dict[str, str]:
    return {"value": f"{amount:.2f}", "currency": "RUB"}


def _check_fields(given: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(given.keys() - known):
        raise Invalid(f"unknown: {', '.join(unknown)}", unknown[0])


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Invalid(f"{name} is true or false", name)
    return value


def _text(body: Mapping[str, Any], name: str, longest: int) -> str:
    value = body.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise Invalid(f"{name} is a text of at most {longest} characters", name)
    return value


def _metadata(value: Any) -> dict[str, str]:
    value = {} if value is None else value
    sound = isinstance(value, dict) and len(value) <= 16
    if not sound or not all(
        isinstance(text, str) and len(name) <= 32 and len(text) <= 512
        for name, text in value.items()
    ):
        takes = "at most 16 texts, with names of 32 and values of 512 characters"
        raise Invalid(f"metadata takes {takes}", "metadata")
    return dict(value)


def _return_url(value: Any) -> str:
    match value:
        case {"type": "redirect", "return_url": str() as url}:
            if urlsplit(url).scheme in ("http", "https") and len(url) <= 2048:
                return url
    raise Invalid("confirmation is a redirect with an http return_url", "confirmation")


def _receipt(value: Any, amount: Decimal) -> Mapping[str, Any] | None:
    if value is None:
        return None
    match value:
        case {"customer": {"email": str()} | {"phone": str()}, "items": [_, *_] as items}:
            if sum(_item_total(item) for item in items) == amount:
                return dict(value)
            raise Invalid("the items do not add up to the amount", "receipt.items")
    raise Invalid("a receipt has a customer with email or phone, and items", "receipt")


def _item_total(item: Any) -> Decimal:
    match item:
        case {
            "description": str() as description,
            "quantity": str() as quantity,
            "amount": amount,
            "vat_code": int() as vat_code,
            "payment_mode": str(),
            "payment_subject": str(),
        } if re.fullmatch(r"\d{1,5}(\.\d{1,3})?", quantity):
            if 0 < len(description) <= 128 and 1 <= vat_code <= 12:
                return read_amount(amount, "receipt.items.amount") * Decimal(quantity)
    raise Invalid("an item of the receipt is not as documented", "receipt.items")


def _time(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{name} is a time such as 2018-07-18T10:51:18.139Z", name) from None
    if moment.tzinfo is None:
        raise Invalid(f"{name} needs its zone", name)
    return moment.astimezone(UTC)
