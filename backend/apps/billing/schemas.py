"""What billing's API takes and answers. Money is text with two places: "299.00"."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from ninja import Field, Schema
from pydantic import PlainSerializer, StringConstraints, WithJsonSchema

from apps.billing.models import Payment, PaymentMethod, PlanVersion, Subscription

Roubles = Annotated[
    Decimal,
    PlainSerializer(lambda amount: f"{amount:.2f}", return_type=str),
    Field(examples=["299.00"]),
]
PlanCode = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9_-]{1,16}$"),
    Field(description="A plan's code, as `GET /billing/plans` lists it", examples=["month"]),
]

# By its name alone it would be taken for the other `State`, a payment's.
SubscriptionState = Annotated[
    Subscription.State,
    WithJsonSchema({"type": "string", "enum": Subscription.State.values}),
]


class PlanOut(Schema):
    code: str = Field(examples=["month"])
    price: Roubles
    months: int = Field(description="Length of a period; 0 for the free plan", examples=[1])
    recognitions: int = Field(description="Recognitions a month", examples=[600])
    trial_days: int = Field(description="Days of trial for who never had a plan", examples=[7])

    @classmethod
    def of(cls, version: PlanVersion) -> "PlanOut":
        return cls(
            code=version.plan_id,
            price=version.price,
            months=version.months,
            recognitions=version.recognitions,
            trial_days=version.trial_days,
        )


class PlansOut(Schema):
    plans: list[PlanOut] = Field(description="The cheapest first")


class AllowanceOut(Schema):
    plan: str = Field(examples=["free"])
    recognitions: int = Field(description="That may be had in this time", examples=[30])
    begins: datetime = Field(examples=["2026-01-01T00:00:00Z"])
    ends: datetime = Field(examples=["2026-02-01T00:00:00Z"])


class SubscriptionOut(Schema):
    """What is subscribed to; without a subscription, the free plan's allowance alone."""

    state: SubscriptionState | None = Field(
        description="null: never subscribed. `past_due` is served until `served_until`.",
        examples=["active"],
    )
    plan: PlanOut | None = Field(description="As it was bought, whatever it costs now")
    next_plan: PlanOut | None = Field(
        description="What the next renewal is of, if another", examples=[None]
    )
    paid_until: datetime | None = Field(examples=["2026-02-14T09:30:00Z"])
    served_until: datetime | None = Field(examples=["2026-02-21T09:30:00Z"])
    automatic_renewal: bool = Field(examples=[True])
    allowance: AllowanceOut


class MethodOut(Schema):
    title: str = Field(examples=["Bank card *4477"])
    bound_at: datetime

    @classmethod
    def of(cls, method: PaymentMethod) -> "MethodOut":
        return cls(title=method.title, bound_at=method.bound_at)


class MethodsOut(Schema):
    method: MethodOut | None = Field(description="null: no card is saved")


class PaymentOut(Schema):
    id: UUID
    kind: Payment.Kind
    state: Payment.State = Field(
        description="`given_up`: it never came about", examples=["pending"]
    )
    amount: Roubles
    plan: str | None = Field(description="null: a card is saved", examples=["month"])
    confirmation_url: str | None = Field(
        description="Where the person pays; null once that is over, or not known yet",
        examples=["https://yoomoney.ru/checkout/payments/v2/contract?orderId=2d1f…"],
    )
    reason: str = Field(description="Why it was canceled; else empty", examples=[""])
    refunded: Roubles = Field(description="Given back of it, or about to be", examples=["0.00"])
    asked_at: datetime

    @classmethod
    def of(cls, payment: Payment) -> "PaymentOut":
        return cls(
            id=payment.pk,
            kind=Payment.Kind(payment.kind),
            state=Payment.State(payment.state),
            amount=payment.amount,
            plan=payment.version.plan_id if payment.version else None,
            confirmation_url=payment.confirmation_url or None,
            reason=payment.reason,
            refunded=payment.refunding,
            asked_at=payment.asked_at,
        )


class PaymentsOut(Schema):
    payments: list[PaymentOut] = Field(description="The newest first, fifty at most")


class ToPage(Schema):
    return_url: str = Field(
        "",
        max_length=200,
        description="Where to come back to: an address of this server; /app by default",
    )
    contact: str = Field(
        "",
        max_length=254,
        description="E-mail or phone for the receipt; needed once where receipts are sent",
    )


class CheckoutIn(ToPage):
    plan: PlanCode
    trial: bool = Field(
        False, description="Save a card for a rouble that is given back, and try the plan first"
    )
    automatic_renewal: bool = Field(
        True,
        description=(
            "Save the card and charge it at the end of each period; "
            "false switches automatic renewal off"
        ),
    )


class RenewalIn(Schema):
    on: bool = Field(examples=[False])


class NextPlanIn(Schema):
    plan: PlanCode
