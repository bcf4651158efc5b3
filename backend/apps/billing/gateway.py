"""What billing asks of whoever moves the money, in the field's own terms.

A provider is one module that fulfils `Gateway`. Money is Decimal roubles with two places, times
are aware and in UTC, ids are the provider's own. Every call raises what is listed at
`GatewayError`; above all, an outcome that is unknown is not a failure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

KOPECK = Decimal("0.01")

CALL_DEADLINE = timedelta(seconds=40)
"""Longest a call takes. The provider itself gives up after 30 s, and its word is worth having."""
LISTING_DEADLINE = timedelta(seconds=50)
"""Longest a listing takes over all of its pages."""


class PaymentStatus(StrEnum):
    PENDING = "pending"
    WAITING_FOR_CAPTURE = "waiting_for_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


FINAL = (PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED)


class RefundStatus(StrEnum):
    """`SUCCEEDED` and `CANCELED` are final."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a fiscal receipt (54-FZ) says of one item, and where it is sent: e-mail or phone."""

    item: str
    vat_code: int
    email: str = ""
    phone: str = ""

    def __post_init__(self) -> None:
        if bool(self.email) == bool(self.phone):
            raise ValueError("a receipt goes to an e-mail or to a phone")


@dataclass(frozen=True, kw_only=True)
class NewPayment:
    """A payment to make: by a person who comes back to `return_url`, or from a saved method.

    `metadata` comes back with the payment wherever it is shown, and names our own row.
    """

    amount: Decimal
    description: str
    metadata: Mapping[str, str]
    return_url: str = ""
    save_payment_method: bool = False
    payment_method: str = ""
    receipt: Receipt | None = None

    def __post_init__(self) -> None:
        _check_amount(self.amount)
        if bool(self.return_url) == bool(self.payment_method):
            raise ValueError("a payment has either a return address or a saved method")


@dataclass(frozen=True, kw_only=True)
class NewRefund:
    """Money to give back, all of a payment's or a part."""

    payment: str
    amount: Decimal
    receipt: Receipt | None = None

    def __post_init__(self) -> None:
        _check_amount(self.amount)


@dataclass(frozen=True, kw_only=True)
class PaymentMethod:
    """What was paid with. It may be charged again only where `saved`; `title` is for people."""

    id: str
    type: str
    saved: bool
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Cancellation:
    """Who ended it, and why, in the provider's words."""

    party: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ProviderPayment:
    """A payment as the provider has it. `refunded` is what was given back of `amount`."""

    id: str
    status: PaymentStatus
    amount: Decimal
    created_at: datetime
    refunded: Decimal = Decimal("0.00")
    captured_at: datetime | None = None
    confirmation_url: str = ""
    method: PaymentMethod | None = None
    cancellation: Cancellation | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    # Made with a test shop's key: no money moved.
    test: bool = False


@dataclass(frozen=True, kw_only=True)
class ProviderRefund:
    """A refund as the provider has it."""

    id: str
    payment: str
    status: RefundStatus
    amount: Decimal
    created_at: datetime
    cancellation: Cancellation | None = None


class GatewayError(Exception):
    """Why there is no answer. `code` is stable and for programs; the text is for operators."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class Refused(GatewayError):
    """The provider will not do it: final. Another try needs another key."""


class NotThere(GatewayError):
    """The provider knows no such payment or refund."""


class Unauthorized(GatewayError):
    """The provider does not let us in: nothing was done, and an operator has to mend it."""


class TooMany(GatewayError):
    """Nothing was done; the same may be asked again no sooner than `after`."""

    def __init__(self, code: str, detail: str = "", after: timedelta = timedelta()) -> None:
        super().__init__(code, detail)
        self.after = after


class Unknown(GatewayError):
    """It may have been done or not: look it up, or ask again with the same key."""


class Unreachable(Unknown):
    """No connection came about, so it was not done."""


class Gateway(Protocol):
    """Calls raise any GatewayError. `key`, of at most 64 characters, makes a call repeatable.

    The provider answers the same key with the same result for 24 hours; after that it takes the
    request for a new one, so an older one is looked up instead. A call takes at most `deadline`.
    """

    name: str

    def create_payment(
        self, new: NewPayment, *, key: str, deadline: timedelta = CALL_DEADLINE
    ) -> ProviderPayment: ...

    def get_payment(
        self, payment: str, *, deadline: timedelta = CALL_DEADLINE
    ) -> ProviderPayment: ...

    def list_payments(
        self,
        *,
        created_gte: datetime,
        created_lt: datetime,
        deadline: timedelta = LISTING_DEADLINE,
    ) -> Iterator[ProviderPayment]:
        """Payments of that time, newest first, asked for page by page."""
        ...

    def create_refund(
        self, new: NewRefund, *, key: str, deadline: timedelta = CALL_DEADLINE
    ) -> ProviderRefund: ...

    def get_refund(self, refund: str, *, deadline: timedelta = CALL_DEADLINE) -> ProviderRefund: ...


def open_gateway() -> Gateway:
    """The provider that is configured: the one place that names it."""
    # Imported late: an HTTP client is memory that most processes never need.
    from apps.billing.yookassa import configured

    return configured()


def is_configured() -> bool:
    """Whether this deployment can be paid at all."""
    try:
        open_gateway()
    except Unauthorized:
        return False
    return True


def _check_amount(amount: Decimal) -> None:
    if not amount.is_finite() or amount <= 0 or amount != amount.quantize(KOPECK):
        raise ValueError(f"{amount} is no amount of roubles and kopecks")
