"""YooKassa's API v3 as a `Gateway`: https://yookassa.ru/developers/api.

Its documented answers are told apart from everything else that can come down the line: whatever
is not documented leaves the outcome unknown.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from http import HTTPStatus
from time import monotonic
from typing import Any, TypeVar

import httpx
from django.conf import settings

from apps.billing.gateway import (
    CALL_DEADLINE,
    LISTING_DEADLINE,
    GatewayError,
    NewPayment,
    NewRefund,
    NotThere,
    ProviderPayment,
    ProviderRefund,
    Receipt,
    Unauthorized,
    Unknown,
    Unreachable,
)
from apps.billing.yookassa_answers import (
    Answer,
    Unreadable,
    error_of,
    read_page,
    read_payment,
    read_refund,
)

CONNECT_SECONDS = 3.0
# Longer than the 30 s after which YooKassa gives up and says so.
READ_SECONDS = 36.0
LARGEST_ANSWER = 4 * 1024 * 1024
PAGE_SIZE = 100

T = TypeVar("T")


@cache
def configured() -> "YooKassa":
    """The client of this process; raises Unauthorized where the deployment has no shop."""
    if not settings.YOOKASSA_SHOP_ID:
        raise Unauthorized("not_configured", "YOOKASSA_SHOP_ID and YOOKASSA_SECRET_KEY are unset")
    return YooKassa(
        shop_id=settings.YOOKASSA_SHOP_ID,
        secret_key=settings.YOOKASSA_SECRET_KEY,
        url=settings.YOOKASSA_API_URL,
    )


class YooKassa:
    """One shop. Threads may share it."""

    name = "yookassa"

    def __init__(
        self,
        *,
        shop_id: str,
        secret_key: str,
        url: str,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._shop_id = shop_id
        self._http = httpx.Client(
            auth=httpx.BasicAuth(shop_id, secret_key),
            headers={"Accept": "application/json"},
            # A connection kept may be one the other side has just closed, and a charge sent
            # down it has an outcome that nobody knows. A handshake costs less.
            limits=httpx.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"<YooKassa shop {self._shop_id} at {self._url}>"

    def create_payment(
        self, new: NewPayment, *, key: str, deadline: timedelta = CALL_DEADLINE
    ) -> ProviderPayment:
        body: dict[str, Any] = {
            "amount": _amount(new.amount),
            "capture": True,
            "description": new.description,
            "metadata": dict(new.metadata),
        }
        if new.payment_method:
            body["payment_method_id"] = new.payment_method
        else:
            body["confirmation"] = {"type": "redirect", "return_url": new.return_url}
            body["save_payment_method"] = new.save_payment_method
        if new.receipt:
            body["receipt"] = _receipt(new.receipt, new.amount)
        payment = self._post("/payments", body, key, deadline, read_payment)
        _expect("amount", payment.amount, new.amount)
        return payment

    def get_payment(self, payment: str, *, deadline: timedelta = CALL_DEADLINE) -> ProviderPayment:
        found = self._get(f"/payments/{_sound(payment)}", {}, deadline, read_payment)
        _expect("id", found.id, payment)
        return found

    def list_payments(
        self,
        *,
        created_gte: datetime,
        created_lt: datetime,
        deadline: timedelta = LISTING_DEADLINE,
    ) -> Iterator[ProviderPayment]:
        ends = monotonic() + deadline.total_seconds()
        query = {
            "created_at.gte": _time(created_gte),
            # Theirs are whole milliseconds: before .5 ms is before the next one.
            "created_at.lt": _time(created_lt + timedelta(microseconds=999)),
            "limit": str(PAGE_SIZE),
        }
        seen: set[str] = set()
        while True:
            left = min(timedelta(seconds=ends - monotonic()), CALL_DEADLINE)
            payments, cursor = self._get("/payments", query, left, read_page)
            yield from payments
            if not cursor:
                return
            if cursor in seen:
                raise Unknown("unreadable_answer", "the listing goes round in a circle")
            seen.add(cursor)
            query["cursor"] = cursor

    def create_refund(
        self, new: NewRefund, *, key: str, deadline: timedelta = CALL_DEADLINE
    ) -> ProviderRefund:
        body: dict[str, Any] = {"payment_id": new.payment, "amount": _amount(new.amount)}
        if new.receipt:
            body["receipt"] = _receipt(new.receipt, new.amount)
        refund = self._post("/refunds", body, key, deadline, read_refund)
        _expect("payment_id", refund.payment, new.payment)
        _expect("amount", refund.amount, new.amount)
        return refund

    def get_refund(self, refund: str, *, deadline: timedelta = CALL_DEADLINE) -> ProviderRefund:
        found = self._get(f"/refunds/{_sound(refund)}", {}, deadline, read_refund)
        _expect("id", found.id, refund)
        return found

    def _get(
        self, path: str, query: Mapping[str, str], deadline: timedelta, read: Callable[[Any], T]
    ) -> T:
        request = self._http.build_request("GET", self._url + path, params=query)
        return self._call(request, deadline, read)

    def _post(
        self,
        path: str,
        body: Mapping[str, Any],
        key: str,
        deadline: timedelta,
        read: Callable[[Any], T],
    ) -> T:
        if not re.fullmatch(r"[!-~]{1,64}", key):
            raise ValueError("a key has 1 to 64 visible characters")
        headers = {"Idempotence-Key": key}
        request = self._http.build_request("POST", self._url + path, json=body, headers=headers)
        return self._call(request, deadline, read)

    def _call(self, request: httpx.Request, deadline: timedelta, read: Callable[[Any], T]) -> T:
        seconds = deadline.total_seconds()
        if seconds <= 0:
            raise Unreachable("timeout", "no time was left for the call")
        request.extensions["timeout"] = httpx.Timeout(
            min(READ_SECONDS, seconds), connect=min(CONNECT_SECONDS, seconds)
        ).as_dict()
        answer = _within(seconds, lambda: self._send(request, monotonic() + seconds))
        if answer.status != HTTPStatus.OK:
            raise error_of(answer, request.method)
        try:
            return read(json.loads(answer.content))
        except Unreadable as error:
            what = str(error)
        except (ValueError, RecursionError):
            what = "no JSON"
        raise Unknown("unreadable_answer", what)

    def _send(self, request: httpx.Request, ends: float) -> Answer:
        """The whole answer. httpx's own errors hold the request, so none of them leaves."""
        try:
            with closing(self._http.send(request, stream=True)) as response:
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > LARGEST_ANSWER:
                        raise Unknown("unreadable_answer", "longer than any answer may be")
                    if monotonic() > ends:
                        raise Unknown("timeout", "while the answer was read")
                return Answer(
                    response.status_code, bytes(content), response.headers.get("Retry-After", "")
                )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            failure: GatewayError = Unreachable("unreachable", type(error).__name__)
        except httpx.TimeoutException as error:
            failure = Unknown("timeout", type(error).__name__)
        except httpx.HTTPError as error:
            failure = Unknown("broken_connection", type(error).__name__)
        raise failure


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What the call returns or raises, if it does so in time; else raises Unknown.

    No time-out of a socket bounds a whole call: names are resolved without one, each address and
    each piece of an answer has its own. So the call has a thread, which may be left behind;
    time-outs of its socket, no longer than the call may take, end it soon.
    """
    outcome: list[T | BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name="yookassa", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise Unknown("timeout", f"no answer within {seconds:g} s")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _sound(identifier: str) -> str:
    """An id that cannot lead the address elsewhere: it may come from a stranger's notification."""
    if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", identifier):
        raise NotThere("not_found", "this is no id of YooKassa's")
    return identifier


def _expect(field: str, got: object, asked: object) -> None:
    if got != asked:
        raise Unknown("unreadable_answer", f"{field} is {got}, not {asked}")


def _amount(amount: Decimal) -> dict[str, str]:
    return {"value": f"{amount:.2f}", "currency": "RUB"}


def _time(moment: datetime) -> str:
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='milliseconds')}Z"


def _receipt(receipt: Receipt, amount: Decimal) -> dict[str, Any]:
    customer = {"email": receipt.email} if receipt.email else {"phone": receipt.phone}
    return {
        "customer": customer,
        "items": [
            {
                "description": receipt.item,
                "quantity": "1.00",
                "amount": _amount(amount),
                "vat_code": receipt.vat_code,
                "payment_mode": "full_payment",
                "payment_subject": "service",
            }
        ],
    }
