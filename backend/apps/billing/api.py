"""Billing over HTTP: plans, checkout, subscription, card, payments."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from ninja import Router, Status

from apps.accounts.tokens import user_of
from apps.billing.checkout import CheckoutRefused, start_binding, start_checkout
from apps.billing.models import Payment, PaymentMethod, Subscription
from apps.billing.plans import UnknownPlan, current_versions, version_for_sale
from apps.billing.queries import allowance_of, subscription_of_user
from apps.billing.receipts import NotAContact
from apps.billing.schemas import (
    AllowanceOut,
    CheckoutIn,
    MethodOut,
    MethodsOut,
    NextPlanIn,
    PaymentOut,
    PaymentsOut,
    PlanOut,
    PlansOut,
    RenewalIn,
    SubscriptionOut,
    ToPage,
)
from apps.billing.settling import check_soon
from apps.billing.subscriptions import (
    NotPossible,
    cancel_subscription,
    resume_subscription,
    set_automatic_renewal,
    set_next_plan,
    unbind_method,
)
from config.problems import BODY_PROBLEMS, Problem, ProblemOut

router = Router()

RETRY_AFTER_SECONDS = 2
MOST_PAYMENTS = 50

TO_PAGE = {
    200: PaymentOut,
    202: PaymentOut,
    401: ProblemOut,
    503: ProblemOut,
    **BODY_PROBLEMS,
}
CHANGE = {200: SubscriptionOut, 401: ProblemOut, 409: ProblemOut}


@router.get("/plans", response=PlansOut, auth=None, summary="What can be had, and for how much")
def list_plans(request: HttpRequest) -> PlansOut:
    """As they are sold now, the free one among them; who bought before keeps what they bought."""
    return PlansOut(plans=[PlanOut.of(version) for version in current_versions()])


@router.get(
    "/subscription",
    response={200: SubscriptionOut, 401: ProblemOut},
    summary="What is subscribed to, and what it allows now",
)
def show_subscription(request: HttpRequest) -> SubscriptionOut:
    """Who has none is answered too: `state` is null, and the allowance is the free plan's."""
    return _shown(request, subscription_of_user(user_of(request)))


@router.post(
    "/checkout",
    response={**TO_PAGE, 409: ProblemOut},
    summary="Buy a plan, change to it, or try it",
)
def check_out(request: HttpRequest, body: CheckoutIn, response: HttpResponse) -> Status[PaymentOut]:
    """Answers the payment with the address at which a person confirms it; asked for again while
    that is open, the same one. The price is the plan's.

    202: the provider takes its time. Ask for the payment again until it has its address.

    Bought while another plan's time is left, the plan begins at once and what is left becomes
    days of it. `GET /billing/payments/{id}` says what came of it.
    """
    with _refusals():
        payment = start_checkout(user=user_of(request), **body.dict())
    return _sent_to_page(request, payment, response)


@router.post("/subscription/cancel", response=CHANGE, summary="End with what is paid for")
def cancel(request: HttpRequest) -> SubscriptionOut:
    """Canceled again, it stays canceled. 409 `no_subscription`, `not_in_this_state`."""
    return _changed(request, lambda: cancel_subscription(user=user_of(request)))


@router.post("/subscription/resume", response=CHANGE, summary="Take a cancellation back")
def resume(request: HttpRequest) -> SubscriptionOut:
    """409 `no_subscription`, `not_in_this_state` once it has ended, `no_saved_method`."""
    return _changed(request, lambda: resume_subscription(user=user_of(request)))


@router.put(
    "/subscription/renewal",
    response={**CHANGE, **BODY_PROBLEMS},
    summary="Switch automatic renewal on or off",
)
def switch_renewal(request: HttpRequest, body: RenewalIn) -> SubscriptionOut:
    """409 `no_subscription`, `not_in_this_state`, `no_saved_method`."""
    return _changed(request, lambda: set_automatic_renewal(user=user_of(request), on=body.on))


@router.put(
    "/subscription/next-plan",
    response={**CHANGE, **BODY_PROBLEMS},
    summary="Renew with another plan from the next period on",
)
def choose_next_plan(request: HttpRequest, body: NextPlanIn) -> SubscriptionOut:
    """The plan one has takes the choice back. 409 `no_subscription`, `does_not_renew`."""
    with _refusals():
        version = version_for_sale(code=body.plan)
    return _changed(request, lambda: set_next_plan(user=user_of(request), version=version))


@router.get("/method", response={200: MethodsOut, 401: ProblemOut}, summary="Which card is saved")
def show_method(request: HttpRequest) -> MethodsOut:
    """There is one at most: the card that renewals are charged to."""
    method = PaymentMethod.objects.filter(customer__user=user_of(request), unbound_at=None).first()
    return MethodsOut(method=MethodOut.of(method) if method else None)


@router.post("/method", response=TO_PAGE, summary="Save a card without buying")
def bind_method(request: HttpRequest, body: ToPage, response: HttpResponse) -> Status[PaymentOut]:
    """As a checkout, of one rouble that is given back at once. A card saved before is replaced;
    a charge that failed is tried again with the new one."""
    with _refusals():
        payment = start_binding(user=user_of(request), **body.dict())
    return _sent_to_page(request, payment, response)


@router.delete("/method", response={204: None, 401: ProblemOut}, summary="Forget the saved card")
def forget_method(request: HttpRequest) -> Status[None]:
    """Switches automatic renewal off. Without a card it does nothing."""
    unbind_method(user=user_of(request))
    return Status(204, None)


@router.get("/payments", response={200: PaymentsOut, 401: ProblemOut}, summary="One's own payments")
def list_payments(request: HttpRequest) -> PaymentsOut:
    """The newest fifty, whatever came of them."""
    payments = (
        Payment.objects.filter(customer__user=user_of(request))
        .select_related("version")
        .order_by("-asked_at")[:MOST_PAYMENTS]
    )
    return PaymentsOut(payments=[PaymentOut.of(payment) for payment in payments])


@router.get(
    "/payments/{uuid:payment_id}",
    response={200: PaymentOut, 401: ProblemOut, 404: ProblemOut},
    summary="How far a payment is",
)
def show_payment(request: HttpRequest, payment_id: UUID, response: HttpResponse) -> PaymentOut:
    """While it is pending, `Retry-After` says when to look again."""
    return _payment_shown(_own_payment(request, payment_id), response)


@router.post(
    "/payments/{uuid:payment_id}/check",
    response={200: PaymentOut, 401: ProblemOut, 404: ProblemOut},
    summary="Have a payment looked at now",
)
def check_payment(request: HttpRequest, payment_id: UUID, response: HttpResponse) -> PaymentOut:
    """For who comes back from the provider's page: the provider is asked at once, by a worker,
    and not at the next turn. Answers what is known now."""
    payment = _own_payment(request, payment_id)
    check_soon(payment=payment)
    return _payment_shown(payment, response)


def _own_payment(request: HttpRequest, pk: UUID) -> Payment:
    own = Payment.objects.filter(customer__user=user_of(request)).select_related("version")
    return get_object_or_404(own, pk=pk)


def _payment_shown(payment: Payment, response: HttpResponse) -> PaymentOut:
    response["Cache-Control"] = "private, no-store"
    if payment.state == Payment.State.PENDING:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return PaymentOut.of(payment)


def _sent_to_page(
    request: HttpRequest, payment: Payment, response: HttpResponse
) -> Status[PaymentOut]:
    response["Location"] = f"/api/v1/billing/payments/{payment.pk}"
    waits = payment.state == Payment.State.PENDING and not payment.confirmation_url
    return Status(202 if waits else 200, _payment_shown(payment, response))


def _changed(request: HttpRequest, change: Callable[[], Subscription]) -> SubscriptionOut:
    try:
        return _shown(request, change())
    except NotPossible as error:
        titles = {
            "no_subscription": _("There is no subscription"),
            "not_in_this_state": _("The subscription is not in a state for that"),
            "no_saved_method": _("Please save a card first"),
            "does_not_renew": _("Please switch automatic renewal on first"),
        }
        raise Problem(409, error.code, titles[error.code]) from None


def _shown(request: HttpRequest, subscription: Subscription | None) -> SubscriptionOut:
    allowance = AllowanceOut(**vars(allowance_of(user=user_of(request))))
    if subscription is None:
        return SubscriptionOut(
            state=None,
            plan=None,
            next_plan=None,
            paid_until=None,
            served_until=None,
            automatic_renewal=False,
            allowance=allowance,
        )
    following = subscription.next_version
    return SubscriptionOut(
        state=Subscription.State(subscription.state),
        plan=PlanOut.of(subscription.version),
        next_plan=PlanOut.of(following) if following else None,
        paid_until=subscription.paid_until,
        served_until=subscription.served_until,
        automatic_renewal=subscription.automatic_renewal,
        allowance=allowance,
    )


@contextmanager
def _refusals() -> Iterator[None]:
    """Why no payment was made, as a problem."""
    try:
        yield
    except UnknownPlan:
        raise Problem(422, "unknown_plan", _("There is no such plan")) from None
    except NotAContact:
        title = _("Please give an e-mail address or a phone number")
        raise Problem(422, "not_a_contact", title) from None
    except CheckoutRefused as error:
        statuses = {"foreign_return_url": 422, "contact_needed": 422, "not_configured": 503}
        titles = {
            "foreign_return_url": _("One comes back to this server alone"),
            "contact_needed": _("Please give an e-mail address or a phone number for the receipt"),
            "not_configured": _("Nothing can be bought here yet"),
            "no_trial": _("This plan has no trial"),
            "trial_used": _("The trial is for those who never had a plan"),
            "charge_under_way": _("Your card is being charged already, please wait a little"),
        }
        raise Problem(statuses.get(error.code, 409), error.code, titles[error.code]) from None
