"""Why a payment was canceled, sorted by what helps.

https://yookassa.ru/developers/payment-acceptance/after-the-payment/declined-payments
"""

from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Help(StrEnum):
    """What to do about a payment that did not succeed."""

    LATER = "later"
    ANOTHER_METHOD = "another_method"
    GIVEN_UP = "given_up"


LATER = {
    "insufficient_funds",
    "issuer_unavailable",
    "internal_timeout",
    "payment_method_limit_exceeded",
    "general_decline",
    "call_issuer",
    "rejected_by_timeout",
}
ANOTHER_METHOD = {
    "permission_revoked",
    "card_expired",
    "payment_method_restricted",
    "fraud_suspected",
    "country_forbidden",
    "invalid_card_number",
    "invalid_csc",
    "3d_secure_failed",
    "identification_required",
    # Ours: the provider refused to make the payment at all.
    "refused",
}
GIVEN_UP = {
    "expired_on_confirmation",
    "expired_on_capture",
    "canceled_by_merchant",
    # Ours.
    "not_wanted",
    "never_made",
    "given_up_by_staff",
}

_WORDS: dict[str, Promise] = {
    "insufficient_funds": _("there is not enough money on the card"),
    "issuer_unavailable": _("the bank does not answer"),
    "internal_timeout": _("the bank does not answer"),
    "rejected_by_timeout": _("the bank does not answer"),
    "payment_method_limit_exceeded": _("the card's limit is used up"),
    "call_issuer": _("the bank wants you to call it"),
    "permission_revoked": _("automatic payments were switched off for this card"),
    "card_expired": _("the card has expired"),
    "payment_method_restricted": _("the card may not pay for this"),
    "fraud_suspected": _("the bank suspects that it was not you"),
    "country_forbidden": _("cards of this country are not accepted"),
    "invalid_card_number": _("the card number is wrong"),
    "invalid_csc": _("the card's code is wrong"),
    "3d_secure_failed": _("the bank could not make sure that it was you"),
    "identification_required": _("the wallet has to be identified first"),
}


def help_for(reason: str) -> Help:
    """What helps. A reason that nobody has told us of is worth another try."""
    if reason in ANOTHER_METHOD:
        return Help.ANOTHER_METHOD
    return Help.GIVEN_UP if reason in GIVEN_UP else Help.LATER


def in_words(reason: str) -> Promise:
    """The reason for a person, to follow "because"."""
    return _WORDS.get(reason, _("the bank declined the payment"))
