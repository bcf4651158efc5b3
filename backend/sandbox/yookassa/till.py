"""YooKassa's own side of the counter: what it was asked, what became of the money, its clock."""

import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from sandbox.service import Refused
from sandbox.yookassa.keys import Keys
from sandbox.yookassa.notices import Deliver, Outbox
from sandbox.yookassa.objects import (
    CAPTURE_LIFETIME,
    CARDS,
    GOOD_CARD,
    REASONS,
    Method,
    Payment,
    Refund,
    cancellation,
    show_time,
)
from sandbox.yookassa.wishes import (
    Invalid,
    PaymentWish,
    RefundWish,
    read_list,
    read_payment,
    read_refund,
)

CONFIRMATION_LIFETIME = timedelta(hours=1)

T = TypeVar("T", Payment, Refund)
V = TypeVar("V")


@dataclass(frozen=True)
class Fate:
    """How what needs no person ends: at once, or later; well, or for this reason not."""

    reason: str = ""
    pending: bool = False


class YooKassa:
    """One shop, in memory; threads may share it. Times run as in the world, `forward` of it."""

    def __init__(self, deliver: Deliver | None = None) -> None:
        self._lock = threading.RLock()
        self._forward = timedelta()
        self.outbox = Outbox(self.now, deliver)
        self._clear()

    def _clear(self) -> None:
        self._payments: dict[str, Payment] = {}
        self._in_order: list[Payment] = []
        self._refunds: dict[str, Refund] = {}
        self._methods: dict[str, Method] = {}
        self._keys = Keys(self.now)
        self._unconfirmed: deque[Payment] = deque()
        self._uncaptured: deque[Payment] = deque()
        self._charges: dict[str, Fate] = {}
        self._refund_fate = Fate()

    def reset(self) -> None:
        """Nothing has ever happened here; the clock stays where it is."""
        with self._lock:
            self._clear()
            self.outbox.clear()

    # The clock

    def now(self) -> datetime:
        return datetime.now(UTC) + self._forward

    def set_forward(self, by: timedelta) -> datetime:
        """Let that much time pass at once, with all that comes of it."""
        with self._lock:
            self._forward += by
            self._expire()
        self.outbox.wake()
        return self.now()

    def _expire(self) -> None:
        for waiting, status, lifetime, reason in (
            (self._unconfirmed, "pending", CONFIRMATION_LIFETIME, "expired_on_confirmation"),
            (self._uncaptured, "waiting_for_capture", CAPTURE_LIFETIME, "expired_on_capture"),
        ):
            while waiting:
                since = waiting[0].authorized_at or waiting[0].created_at
                if waiting[0].status == status and self.now() < since + lifetime:
                    break
                payment = waiting.popleft()
                if payment.status == status:
                    self._cancel(payment, reason)

    # What the API offers

    def create_payment(self, body: Mapping[str, Any], key: str) -> Payment:
        return self._once("payment", body, key, lambda: self._pay_for(read_payment(body), key))

    def get_payment(self, payment_id: str) -> Payment:
        with self._lock:
            self._expire()
            return _find(self._payments, payment_id, "payment")

    def list_payments(self, query: Mapping[str, str]) -> tuple[list[Payment], str | None]:
        """A page, newest first, and the cursor of the next where there is one."""
        wish = read_list(query)
        with self._lock:
            self._expire()
            candidates = reversed(self._in_order[: wish.before])
            found: list[Payment] = []
            for payment in candidates:
                if wish.holds(payment.created_at):
                    if len(found) == wish.limit:
                        return found, f"before-{found[-1].number}"
                    found.append(payment)
            return found, None

    def capture_payment(self, payment_id: str, key: str) -> Payment:
        return self._once("capture", {"id": payment_id}, key, lambda: self._capture(payment_id))

    def cancel_payment(self, payment_id: str, key: str) -> Payment:
        return self._once("cancel", {"id": payment_id}, key, lambda: self._give_up(payment_id))

    def create_refund(self, body: Mapping[str, Any], key: str) -> Refund:
        return self._once("refund", body, key, lambda: self._refund(read_refund(body)))

    def get_refund(self, refund_id: str) -> Refund:
        with self._lock:
            return _find(self._refunds, refund_id, "refund")

    def _once(self, kind: str, body: Mapping[str, Any], key: str, make: Callable[[], T]) -> T:
        with self._lock:
            self._expire()
            return self._keys.once(key, (kind, body), make)

    def _pay_for(self, wish: PaymentWish, key: str) -> Payment:
        method = self._methods.get(wish.method_id)
        if wish.method_id and not (method and method.saved):
            raise Invalid("no such saved payment method", "payment_method_id")
        payment = Payment(
            number=len(self._in_order),
            id=str(uuid.uuid4()),
            key=key,
            wish=wish,
            created_at=self._whole_millisecond(),
            method=method,
        )
        self._payments[payment.id] = payment
        self._in_order.append(payment)
        if not method:
            self._unconfirmed.append(payment)
            return payment
        fate = self._charges.get(method.id) or self._charges.get("", Fate())
        if not fate.pending:
            self._end(payment, fate.reason)
        return payment

    def _capture(self, payment_id: str) -> Payment:
        payment = self._uncaptured_payment(payment_id)
        self._succeed(payment)
        return payment

    def _give_up(self, payment_id: str) -> Payment:
        payment = self._uncaptured_payment(payment_id)
        self._cancel(payment, "canceled_by_merchant")
        return payment

    def _uncaptured_payment(self, payment_id: str) -> Payment:
        payment = _find(self._payments, payment_id, "payment")
        if payment.status != "waiting_for_capture":
            raise Invalid(f"the payment is {payment.status}", "payment_id")
        return payment

    def _refund(self, wish: RefundWish) -> Refund:
        payment = self._payments.get(wish.payment_id)
        if payment is None or payment.status != "succeeded":
            raise Invalid("only a payment that succeeded is refunded", "payment_id")
        left = payment.wish.amount - payment.refunded("pending", "succeeded")
        if wish.amount > left:
            raise Invalid(f"the payment has {left:.2f} left to refund", "amount")
        refund = Refund(id=str(uuid.uuid4()), wish=wish, created_at=self._whole_millisecond())
        payment.refunds.append(refund)
        self._refunds[refund.id] = refund
        if not self._refund_fate.pending:
            self._end_refund(refund, self._refund_fate.reason)
        return refund

    # What people and banks do

    def pay(self, payment_id: str, *, card: str = GOOD_CARD, agrees: bool = True) -> Payment:
        """A person pays with the card, and agrees to its being saved where that is asked for.

        Also ends a charge that was left pending. A card may be one that is declined.
        """
        if card not in CARDS:
            raise Refused(422, f"card takes one of {', '.join(CARDS)}")
        with self._lock:
            payment = self._open_payment(payment_id)
            if payment.method is None:
                saved = payment.wish.save and agrees and not CARDS[card]
                payment.method = Method(id=payment.id, card=card, saved=saved)
                if saved:
                    self._methods[payment.id] = payment.method
                self._end(payment, CARDS[card])
            else:
                self._end(payment, "")
            return payment

    def decline(self, payment_id: str, reason: str) -> Payment:
        _check_reason(reason)
        with self._lock:
            payment = self._open_payment(payment_id)
            self._end(payment, reason)
            return payment

    def settle_refund(self, refund_id: str, reason: str = "") -> Refund:
        """End a pending refund: well, or for that reason not."""
        if reason:
            _check_reason(reason)
        with self._lock:
            refund = _find(self._refunds, refund_id, "refund")
            if refund.status != "pending":
                raise Refused(409, f"the refund is {refund.status}")
            self._end_refund(refund, reason)
            return refund

    def decide_charges(self, *, method: str = "", reason: str = "", pending: bool = False) -> None:
        """How charges of saved methods end from now on: of that one, else of all others."""
        if reason:
            _check_reason(reason)
        with self._lock:
            if method:
                _find(self._methods, method, "method")
            self._charges[method] = Fate(reason, pending)

    def decide_refunds(self, *, reason: str = "", pending: bool = False) -> None:
        """How refunds end from now on."""
        if reason:
            _check_reason(reason)
        with self._lock:
            self._refund_fate = Fate(reason, pending)

    def books(self) -> dict[str, Any]:
        """All that happened to money here."""
        with self._lock:
            self._expire()
            payments = self._in_order
            return {
                "now": show_time(self.now()),
                "captured": _sum(payment.captured for payment in payments),
                "refunded": _sum(payment.refunded("succeeded") for payment in payments),
                "payments": [payment.booked() for payment in payments],
                "methods": [method.shown() for method in self._methods.values()],
            }

    def _open_payment(self, payment_id: str) -> Payment:
        self._expire()
        payment = _find(self._payments, payment_id, "payment")
        if payment.status != "pending":
            raise Refused(409, f"the payment is {payment.status}")
        return payment

    # How things end

    def _end(self, payment: Payment, reason: str) -> None:
        if reason:
            self._cancel(payment, reason)
        elif payment.wish.capture:
            self._succeed(payment)
        else:
            payment.status = "waiting_for_capture"
            payment.authorized_at = self._whole_millisecond()
            self._uncaptured.append(payment)
            self.outbox.add("payment.waiting_for_capture", payment.shown())

    def _succeed(self, payment: Payment) -> None:
        payment.status = "succeeded"
        payment.captured_at = self._whole_millisecond()
        self.outbox.add("payment.succeeded", payment.shown())

    def _cancel(self, payment: Payment, reason: str) -> None:
        payment.status = "canceled"
        payment.cancellation = cancellation(reason)
        self.outbox.add("payment.canceled", payment.shown())

    def _end_refund(self, refund: Refund, reason: str) -> None:
        if reason:
            refund.status, refund.cancellation = "canceled", cancellation(reason)
            return  # YooKassa tells of no refund but one that succeeded
        refund.status = "succeeded"
        self.outbox.add("refund.succeeded", refund.shown())

    def _whole_millisecond(self) -> datetime:
        now = self.now()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _find(among: Mapping[str, V], identifier: str, what: str) -> V:
    if identifier not in among:
        raise Invalid(f"there is no such {what}", f"{what}_id", status=404)
    return among[identifier]


def _check_reason(reason: str) -> None:
    if reason not in REASONS:
        raise Refused(422, f"reason takes one of {', '.join(REASONS)}")


def _sum(amounts: Iterable[Decimal]) -> str:
    return f"{sum(amounts, Decimal('0.00')):.2f}"
