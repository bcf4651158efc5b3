"""Payments, refunds and saved methods, and how YooKassa shows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sandbox.yookassa.wishes import PaymentWish, RefundWish, show_amount

FEE = Decimal("0.035")
CAPTURE_LIFETIME = timedelta(days=7)

CARDS: Mapping[str, str] = {
    "5555555555554477": "",
    "5555555555554600": "insufficient_funds",
    "5555555555554543": "card_expired",
    "5555555555554568": "fraud_suspected",
    "5555555555554501": "issuer_unavailable",
}
"""A test shop's cards, each with the reason for which it is declined; none: it pays."""
GOOD_CARD = "5555555555554477"

OF_THE_NETWORK = {
    "3d_secure_failed",
    "call_issuer",
    "card_expired",
    "general_decline",
    "identification_required",
    "insufficient_funds",
    "invalid_card_number",
    "invalid_csc",
    "issuer_unavailable",
    "payment_method_limit_exceeded",
    "payment_method_restricted",
    "permission_revoked",
    "rejected_by_timeout",
}
OF_YOOMONEY = {
    "country_forbidden",
    "expired_on_capture",
    "expired_on_confirmation",
    "fraud_suspected",
    "internal_timeout",
}
OF_THE_MERCHANT = {"canceled_by_merchant"}
REASONS = sorted(OF_THE_NETWORK | OF_YOOMONEY | OF_THE_MERCHANT)


@dataclass(kw_only=True)
class Method:
    id: str
    card: str
    saved: bool

    def shown(self) -> dict[str, Any]:
        return {
            "type": "bank_card",
            "id": self.id,
            "saved": self.saved,
            "title": f"Bank card *{self.card[-4:]}",
            "card": {
                "first6": self.card[:6],
                "last4": self.card[-4:],
                "expiry_month": "12",
                "expiry_year": "2035",
                "card_type": "MasterCard",
            },
        }


@dataclass(kw_only=True)
class Refund:
    id: str
    wish: RefundWish
    created_at: datetime
    status: str = "pending"
    cancellation: Mapping[str, str] | None = None

    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": self.id,
            "payment_id": self.wish.payment_id,
            "status": self.status,
            "amount": show_amount(self.wish.amount),
            "created_at": show_time(self.created_at),
        }
        if self.wish.description:
            shown["description"] = self.wish.description
        if self.cancellation:
            shown["cancellation_details"] = dict(self.cancellation)
        return shown


@dataclass(kw_only=True)
class Payment:
    number: int
    id: str
    key: str
    wish: PaymentWish
    created_at: datetime
    status: str = "pending"
    authorized_at: datetime | None = None
    captured_at: datetime | None = None
    method: Method | None = None
    cancellation: Mapping[str, str] | None = None
    refunds: list[Refund] = field(default_factory=list)

    @property
    def captured(self) -> Decimal:
        return self.wish.amount if self.status == "succeeded" else Decimal("0.00")

    def refunded(self, *statuses: str) -> Decimal:
        return sum(
            (refund.wish.amount for refund in self.refunds if refund.status in statuses),
            Decimal("0.00"),
        )

    def shown(self, base_url: str = "") -> dict[str, Any]:
        succeeded = self.status == "succeeded"
        refunded = self.refunded("succeeded")
        shown: dict[str, Any] = {
            "id": self.id,
            "status": self.status,
            "paid": self.status in ("waiting_for_capture", "succeeded"),
            "amount": show_amount(self.wish.amount),
            "created_at": show_time(self.created_at),
            "description": self.wish.description,
            "metadata": dict(self.wish.metadata),
            "recipient": {"account_id": "100500", "gateway_id": "100700"},
            "refundable": succeeded and refunded < self.wish.amount,
            "test": True,
        }
        if succeeded:
            shown["income_amount"] = show_amount(self.wish.amount * (1 - FEE))
            shown["refunded_amount"] = show_amount(refunded)
        if self.captured_at:
            shown["captured_at"] = show_time(self.captured_at)
        if self.status == "waiting_for_capture" and self.authorized_at:
            shown["expires_at"] = show_time(self.authorized_at + CAPTURE_LIFETIME)
        if self.method:
            shown["payment_method"] = self.method.shown()
        if self.status == "pending" and self.wish.return_url:
            shown["confirmation"] = {
                "type": "redirect",
                "confirmation_url": f"{base_url}/yookassa/pay/{self.id}",
            }
        if self.cancellation:
            shown["cancellation_details"] = dict(self.cancellation)
        return shown

    def booked(self) -> dict[str, Any]:
        """What became of the money, for those who compare it with their own books."""
        return {
            "id": self.id,
            "key": self.key,
            "status": self.status,
            "created_at": show_time(self.created_at),
            "amount": f"{self.wish.amount:.2f}",
            "captured": f"{self.captured:.2f}",
            "refunded": f"{self.refunded('succeeded'):.2f}",
            "refunds_pending": f"{self.refunded('pending'):.2f}",
            "reason": (self.cancellation or {}).get("reason"),
            "method": self.method.id if self.method else None,
            "charged_method": self.wish.method_id or None,
            "metadata": dict(self.wish.metadata),
            "receipt": self.wish.receipt,
            "refunds": [
                refund.shown() | {"receipt": refund.wish.receipt} for refund in self.refunds
            ],
        }


def cancellation(reason: str) -> dict[str, str]:
    if reason in OF_YOOMONEY:
        return {"party": "yoo_money", "reason": reason}
    party = "merchant" if reason in OF_THE_MERCHANT else "payment_network"
    return {"party": party, "reason": reason}


def show_time(moment: datetime) -> str:
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return f"{text}Z"
