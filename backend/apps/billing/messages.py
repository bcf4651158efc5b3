"""What people are told about their money, and the link that mends it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import translation
from django.utils.formats import date_format
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
from apps.billing.models import Customer, Payment, Refund, Subscription
from apps.billing.reasons import Help, help_for, in_words
from apps.messaging.services import Button, send_message

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise as _StrPromise

PLANS_PAGE = "/app#plans"
CARD_PAGE = "/app#card"
"""Pages of the product at /app where a plan is bought and a card is bound."""


def tell_paid(*, payment: Payment, subscription: Subscription) -> None:
    text = _("Paid: {amount} ₽. Your plan is served until {date}.")
    _tell(
        payment.customer,
        text,
        f"billing:{payment.pk}:paid",
        amount=rouble_text(payment.amount),
        date=subscription.paid_until,
    )


def tell_trial(*, payment: Payment, subscription: Subscription) -> None:
    text = _("Your trial lasts until {date}. The rouble that we took is on its way back to you.")
    _tell(payment.customer, text, f"billing:{payment.pk}:trial", date=subscription.paid_until)


def tell_bound(*, payment: Payment, saved: bool) -> None:
    text = (
        _("Your card is saved. The rouble that we took is on its way back to you.")
        if saved
        else _("Your bank did not let us save the card. The rouble is on its way back to you.")
    )
    _tell(payment.customer, text, f"billing:{payment.pk}:bound")


def tell_declined(*, payment: Payment, again_at: datetime | None, served_until: datetime) -> None:
    """A charge failed: why, what happens next, and where it is mended."""
    why = in_words(payment.reason)
    key = f"billing:{payment.pk}:declined"
    amount = rouble_text(payment.amount)
    if help_for(payment.reason) is Help.ANOTHER_METHOD:
        text = _(
            "We could not charge {amount} ₽ for your plan, because {why}. Please save another "
            "card; until {date} your plan is served all the same."
        )
        _tell(payment.customer, text, key, CARD_PAGE, amount=amount, why=why, date=served_until)
    elif again_at is not None:
        text = _(
            "We could not charge {amount} ₽ for your plan, because {why}. We will try again on "
            "{again}; until {date} your plan is served all the same. You can also pay yourself."
        )
        _tell(
            payment.customer,
            text,
            key,
            PLANS_PAGE,
            amount=amount,
            why=why,
            again=again_at,
            date=served_until,
        )
    else:
        text = _(
            "We could not charge {amount} ₽ for your plan, because {why}. This was the last "
            "time we tried. Until {date} your plan is served; please pay yourself to keep it."
        )
        _tell(payment.customer, text, key, PLANS_PAGE, amount=amount, why=why, date=served_until)


def tell_ended(*, customer: Customer, subscription: Subscription, unpaid: bool) -> None:
    text = (
        _("Your plan has ended, since it could not be paid for. You can buy it again any time.")
        if unpaid
        else _("Your plan has ended. You can buy it again any time.")
    )
    key = f"billing:{subscription.pk}:ended:{subscription.paid_until:%Y%m%d%H%M}"
    _tell(customer, text, key, PLANS_PAGE)


def tell_refunded(*, refund: Refund) -> None:
    text = _("We have given {amount} ₽ back to you. The bank may take some days to show it.")
    _tell(
        refund.payment.customer,
        text,
        f"billing:{refund.pk}:refunded",
        amount=rouble_text(refund.amount),
    )


def rouble_text(amount: Decimal) -> str:
    return f"{amount:.2f}"


def _tell(
    customer: Customer, text: _StrPromise | str, key: str, page: str = "", **values: object
) -> None:
    """Tell the customer's person, if there is one; dates in their zone and language."""
    if customer.user_id is None:
        return
    user = User.objects.get(pk=customer.user_id)
    shown = {
        name: _date(value, user) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
    buttons = [Button(_("Open"), f"{settings.PUBLIC_URL}{page}")] if page else []
    send_message(user=user, text=format_lazy(text, **shown), key=key, buttons=buttons)


def _date(moment: datetime, user: User) -> str:
    with translation.override(user.language):
        return date_format(moment.astimezone(ZoneInfo(user.time_zone)), "j E Y")
