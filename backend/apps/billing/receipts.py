"""Fiscal receipts (54-FZ), where the shop is configured to send them."""

import re

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from apps.billing.gateway import Receipt
from apps.billing.models import Payment, PlanVersion

EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
PHONE = re.compile(r"\+?\d{10,15}")


class NotAContact(ValueError):
    """Neither an e-mail address nor a phone number."""


def read_contact(text: str) -> str:
    """An e-mail address, or a phone number as digits. Raises NotAContact."""
    contact = text.strip()
    if len(contact) <= 254 and EMAIL.fullmatch(contact):
        return contact
    digits = re.sub(r"[\s()-]", "", contact)
    if PHONE.fullmatch(digits):
        return digits.removeprefix("+")
    raise NotAContact(contact)


def receipts_are_sent() -> bool:
    return settings.RECEIPT_VAT_CODE is not None


def receipt_for(payment: Payment) -> Receipt | None:
    """What goes with a payment or its refund; nothing where none is sent or nobody to send to."""
    contact = payment.contact
    if settings.RECEIPT_VAT_CODE is None or not contact:
        return None
    to = {"email": contact} if "@" in contact else {"phone": contact}
    return Receipt(item=item_of(payment.version), vat_code=settings.RECEIPT_VAT_CODE, **to)


def item_of(version: PlanVersion | None) -> str:
    """What is paid for, in the language of receipts."""
    with translation.override("ru"):
        if version is None:
            return _("Saving a card")
        names = {1: _("EatFit24 plan, a month"), 12: _("EatFit24 plan, a year")}
        return names.get(version.months, _("EatFit24 plan"))
