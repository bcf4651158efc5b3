"""What time a payment grants, and what a refund or a change of plan takes away.

Each function runs under the customer's lock and writes terms and ledger together.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Sum

from apps.billing.arithmetic import (
    DAY,
    NOTHING,
    add_months,
    credited_days,
    local,
    refunded_time,
    unused_value,
)
from apps.billing.ledger import LockedCustomer, post_entry
from apps.billing.models import Entry, Payment, PlanVersion, Refund, Subscription, Term


def grant_term(
    *,
    customer: LockedCustomer,
    subscription: Subscription,
    version: PlanVersion,
    payment: Payment,
    change_plan: bool,
    at: datetime,
) -> Term:
    """The time that the payment bought, after what is left, or at once.

    `change_plan`: what is left of another plan ends now, and its worth becomes days of this one.
    """
    served = subscription.terms.exists() and at < subscription.served_until
    begins = subscription.paid_until if served else at
    changed: list[Term] = []
    if change_plan and at < begins and subscription.version.plan_id != version.plan_id:
        begins = at
        changed = list(subscription.terms.filter(ends__gt=at).order_by("begins"))
    if not served or changed:
        subscription.anchor_day = local(begins).day
    ends = add_months(begins, version.months, day=subscription.anchor_day)
    worths = [
        unused_value(value=term.value, begins=term.begins, ends=term.ends, now=at)
        for term in changed
    ]
    credit = sum(worths, NOTHING)
    if credit:
        ends += credited_days(credit=credit, price=payment.amount, length=ends - begins)
        subscription.anchor_day = local(ends).day
    term = Term.objects.create(
        subscription=subscription,
        version=version,
        payment=payment,
        begins=begins,
        ends=ends,
        value=NOTHING,
    )
    _post(customer, Entry.Kind.CHARGED, payment.amount, at, term, payment)
    for old, unused in zip(changed, worths, strict=True):
        old.ends = max(old.begins, at)
        old.moved_to = term
        _post(customer, Entry.Kind.CREDITED, -unused, at, old, payment)
    if changed:
        _post(customer, Entry.Kind.CREDITED, credit, at, term, payment)
    subscription.version = version
    return term


def grant_trial(
    *, customer: LockedCustomer, subscription: Subscription, payment: Payment, at: datetime
) -> Term:
    """The trial of the plan; no value lies on it."""
    version = subscription.version
    term = Term.objects.create(
        subscription=subscription,
        version=version,
        payment=payment,
        begins=at,
        ends=at + DAY * version.trial_days,
        value=NOTHING,
    )
    subscription.anchor_day = local(term.ends).day
    _post(customer, Entry.Kind.CREDITED, NOTHING, at, term, payment)
    return term


def take_back(*, customer: LockedCustomer, refund: Refund, at: datetime) -> bool:
    """Book the refund and shorten what it paid for; whether time was taken away."""
    payment = refund.payment
    term = Term.objects.filter(payment=payment).first()
    if term is None or payment.kind == Payment.Kind.TRIAL:
        _post(customer, Entry.Kind.REFUNDED, -refund.amount, at, None, payment, refund)
        return False
    most = refund.amount
    while term.moved_to is not None:
        most = min(most, _moved(term))
        term = term.moved_to
    taken = min(most, term.value)
    old_end = term.ends
    if taken:
        cut = refunded_time(taken=taken, value=term.value, length=term.ends - term.begins)
        passed = max(term.begins, min(at, term.ends))
        term.ends = max(term.ends - cut, passed)
    if refund.amount > taken:
        # Given back though it was delivered: out of goodwill.
        goodwill = refund.amount - taken
        _post(customer, Entry.Kind.CREDITED, goodwill, at, term, payment, refund)
    _post(customer, Entry.Kind.REFUNDED, -refund.amount, at, term, payment, refund)
    gap = old_end - term.ends
    if gap:
        _move_up(customer, term, old_end, gap, at)
    return bool(gap)


def _moved(term: Term) -> Decimal:
    """What went to another term when the plan was changed."""
    assert term.moved_to is not None
    credited = term.entries.filter(kind=Entry.Kind.CREDITED, payment=term.moved_to.payment_id)
    amount: Decimal | None = credited.aggregate(sum=Sum("amount"))["sum"]
    return -(amount or NOTHING)


def _move_up(
    customer: LockedCustomer, term: Term, after: datetime, gap: timedelta, at: datetime
) -> None:
    later = Term.objects.filter(
        subscription=term.subscription_id, begins__gte=after, moved_to=None
    ).exclude(pk=term.pk)
    for following in later.order_by("begins"):
        following.begins -= gap
        following.ends -= gap
        _post(customer, Entry.Kind.CREDITED, NOTHING, at, following, following.payment)


def expire_terms(*, customer: LockedCustomer, at: datetime) -> None:
    """Book what lay on terms that are over as delivered."""
    over = Term.objects.filter(
        subscription__customer=customer.row, ends__lte=at, value__gt=0
    ).select_related("version")
    for term in over.order_by("begins"):
        _post(customer, Entry.Kind.EXPIRED, -term.value, at, term, None)


def _post(
    customer: LockedCustomer,
    kind: Entry.Kind,
    amount: Decimal,
    at: datetime,
    term: Term | None,
    payment: Payment | None,
    refund: Refund | None = None,
) -> None:
    post_entry(
        customer=customer,
        kind=kind,
        amount=amount,
        at=at,
        term=term,
        payment=payment,
        refund=refund,
    )
