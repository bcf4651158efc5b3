"""What users are told: why there is no answer, and what an answer that is not a meal means.

Each code has its line here, whether a request is refused with it or a recognition fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Action = Literal["retry", "wait", "describe_in_words", "take_another_photo", "upgrade"]
Text = str | Promise

MOMENT, MINUTE, HOUR = 5, 60, 3600


class Refused(Exception):
    """A request that is not accepted; TROUBLES[code] says what the user is told."""

    def __init__(self, code: str, *, retry_after: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True)
class Trouble:
    """What a user is told, and what they can do.

    `retryable`: the same again may succeed, after `retry_after` seconds where that is known.
    `status` is that of the HTTP answer, for what a request can be refused with.
    """

    title: Text
    detail: Text
    actions: tuple[Action, ...] = ()
    retryable: bool = False
    retry_after: int | None = None
    status: int | None = None


_AGAIN: tuple[Action, ...] = ("take_another_photo", "describe_in_words")
_FAILED = _("The meal was not recognised")
_OURS = Trouble(
    _FAILED,
    _("Something went wrong on our side. Please try again."),
    actions=("retry",),
    retryable=True,
)
_AWAY = Trouble(
    _FAILED,
    _("The service that recognises meals does not answer. Please try again in a minute."),
    actions=("wait", "retry"),
    retryable=True,
    retry_after=MINUTE,
)
_CLOSED = Trouble(
    _FAILED,
    _("Meals cannot be recognised at the moment. We know of it. Please try again later."),
    actions=("wait",),
    retryable=True,
    retry_after=HOUR,
)

TROUBLES: Mapping[str, Trouble] = {
    # A recognition fails with one of these.
    "internal_error": _OURS,
    "worker_lost": _OURS,
    "provider_unreachable": _AWAY,
    "provider_error": _AWAY,
    "provider_away": _AWAY,
    "provider_timeout": Trouble(
        _FAILED,
        _("It took too long. Please try again."),
        actions=("retry", "describe_in_words"),
        retryable=True,
    ),
    "provider_busy": Trouble(
        _FAILED,
        _("Too many meals are being recognised right now. Please try again in a minute."),
        actions=("wait", "retry"),
        retryable=True,
        retry_after=MINUTE,
    ),
    "provider_out_of_credit": _CLOSED,
    "provider_refused": _CLOSED,
    "provider_rejected": Trouble(
        _FAILED,
        _("This could not be read. Please take another photo or describe the meal in words."),
        actions=_AGAIN,
    ),
    "content_filtered": Trouble(
        _FAILED,
        _("The model would not look at this. Please take another photo or use other words."),
        actions=_AGAIN,
    ),
    "answer_cut_off": Trouble(
        _FAILED,
        _("This is too much for one answer. Please send the meal in parts."),
        actions=_AGAIN,
    ),
    "answer_invalid": Trouble(
        _FAILED,
        _("The model's answer made no sense. Please try again or describe the meal in words."),
        actions=("retry", "describe_in_words"),
        retryable=True,
    ),
    "pictures_not_supported": Trouble(
        _FAILED,
        _("This server reads text alone. Please describe the meal."),
        actions=("describe_in_words",),
    ),
    "photo_lost": Trouble(
        _FAILED,
        _("The photo was lost. Please send it again."),
        actions=_AGAIN,
    ),
    "canceled": Trouble(
        _("You cancelled this"),
        _("The meal was not recognised. You can ask again."),
        actions=("retry",),
        retryable=True,
    ),
    # A request is refused with one of these; the first two, a recognition also fails with.
    "photo_store_away": Trouble(
        _("Photos cannot be kept right now"),
        _("Please try again in a moment."),
        actions=("wait", "retry", "describe_in_words"),
        retryable=True,
        retry_after=MOMENT,
        status=503,
    ),
    "daily_limit_reached": Trouble(
        _("That was all for today"),
        _("All meals that may be recognised in a day have been. Please come back tomorrow."),
        actions=("wait",),
        retryable=True,
        retry_after=HOUR,
        status=503,
    ),
    "quota_exceeded": Trouble(
        _("Your recognitions are used up"),
        _("Choose another plan, or wait until new ones come. Meals can be added by hand."),
        actions=("upgrade", "wait"),
        retryable=True,
        status=403,
    ),
    "too_many_in_flight": Trouble(
        _("Your other meals are still being recognised"),
        _("Please wait until one of them is ready."),
        actions=("wait", "retry"),
        retryable=True,
        retry_after=3,
        status=429,
    ),
    "idempotency_key_reused": Trouble(
        _("This Idempotency-Key belongs to another request"),
        _("A new request takes a new key."),
        status=422,
    ),
    "pictures_busy": Trouble(
        _("Too many photos are being read right now"),
        _("Please try again in a moment."),
        actions=("wait", "retry", "describe_in_words"),
        retryable=True,
        retry_after=MOMENT,
        status=503,
    ),
    "picture_too_big": Trouble(
        _("The photo is too big"),
        _("A photo takes at most 10 MB."),
        actions=_AGAIN,
        status=413,
    ),
    "picture_unsupported": Trouble(
        _("This is not a photo that we can read"),
        _("Please send a JPEG, PNG, WebP or HEIC."),
        actions=_AGAIN,
        status=415,
    ),
    "picture_too_many_pixels": Trouble(
        _("The photo has too many pixels"),
        _("Please send another photo, or describe the meal in words."),
        actions=_AGAIN,
        status=422,
    ),
    "picture_unreadable": Trouble(
        _("The photo is broken"),
        _("Please send another photo, or describe the meal in words."),
        actions=_AGAIN,
        status=422,
    ),
    "too_many_pictures": Trouble(
        _("Too many photos"),
        _("A meal takes at most four."),
        status=422,
    ),
    "photo_deleted": Trouble(
        _("Photos are not kept for so long"),
        _("This one has been deleted."),
        status=410,
    ),
    "recognition_not_done": Trouble(
        _("The meal is not recognised yet"),
        _("There is something to accept only when it is."),
        actions=("wait",),
        status=409,
    ),
    "recognition_settled": Trouble(
        _("It is too late to cancel this"),
        _("The recognition has come to its end."),
        status=409,
    ),
    "recognition_accepted": Trouble(
        _("The meal is in the diary already"),
        _("Change it there."),
        status=409,
    ),
    "no_such_item": Trouble(
        _("There is no such item here"),
        _("An item to correct is one of this recognition."),
        status=422,
    ),
    "too_much": Trouble(
        _("Nobody eats so much of anything"),
        _("Please check the weight."),
        status=422,
    ),
    "nothing_to_count": Trouble(
        _("There is nothing here that could be counted"),
        _("Please take another photo or describe the meal in words."),
        actions=_AGAIN,
        status=409,
    ),
}

UNKNOWN = TROUBLES["internal_error"]


@dataclass(frozen=True)
class Remark:
    """What goes with an answer that is not simply a meal."""

    text: Text
    actions: tuple[Action, ...]


REMARKS: Mapping[str, Remark] = {
    "recognized": Remark("", ()),
    "unsure": Remark(
        _("I am not sure. Please check this, take another photo or describe the meal in words."),
        _AGAIN,
    ),
    "not_food": Remark(
        _("This is not food. Please take another photo or describe the meal in words."), _AGAIN
    ),
    "nothing_to_count": Remark(
        _("There is nothing I can count. Please describe in words what was eaten."), _AGAIN
    ),
}
