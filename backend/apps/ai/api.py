"""Recognitions over HTTP: ask, look, cancel, accept; and what is left of the quota."""

import hashlib
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import parse_etags
from django.utils.translation import get_language
from ninja import Router, Status
from ninja.params.functions import Header
from pydantic import StringConstraints

from apps.accounts.tokens import user_of
from apps.ai.corrections import correct_recognition
from apps.ai.models import KEY_LIMIT, TEXT_LIMIT, Photo, Recognition
from apps.ai.pictures import Picture
from apps.ai.problems import Refused
from apps.ai.quota import quota_of
from apps.ai.refusals import refusals_as_problems
from apps.ai.schemas import CaptionIn, CorrectionsIn, QuotaOut, RecognitionIn, RecognitionOut
from apps.ai.services import (
    accept_recognition,
    cancel_recognition,
    request_recognition,
)
from apps.ai.serving import serve_photo
from apps.ai.uploads import (
    FORM,
    MOST_PICTURES,
    place_for_upload,
    read_form,
    read_pictures,
    validated,
)
from apps.nutrition.schemas import MealOut
from config.problems import BODY_PROBLEMS, JsonParser, ProblemOut

router = Router()
quota_router = Router()

RETRY_AFTER_SECONDS = 1

Key = Annotated[str, StringConstraints(min_length=1, max_length=KEY_LIMIT, pattern=r"^[!-~]+$")]
IDEMPOTENCY_KEY = Header(
    None,
    alias="Idempotency-Key",
    description="Any text of your making. The same key with the same content is answered with "
    "the same recognition, whatever got lost on the way; with other content it is refused.",
)


BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": RecognitionIn.model_json_schema()},
        FORM: {
            "schema": {
                "title": "Photos",
                "type": "object",
                "example": {"text": "The dressing is olive oil"},
                "properties": {
                    "text": {"type": "string", "maxLength": TEXT_LIMIT},
                    "photo": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "maxItems": MOST_PICTURES,
                    },
                },
            }
        },
    },
}


def asked_for(request: HttpRequest) -> tuple[RecognitionIn | CaptionIn, list[Picture]]:
    """What is to be recognised, as JSON or as a form.

    Raises ValidationError, Problem, BadPicture and PicturesBusy.
    """
    if request.content_type != FORM:
        body = JsonParser().parse_body(request) if request.body else None
        return validated(RecognitionIn, body), []
    with place_for_upload():
        fields, files = read_form(request)
        if not files:
            return validated(RecognitionIn, fields), []
        return validated(CaptionIn, fields), read_pictures(files)


@router.post(
    "",
    response={
        202: RecognitionOut,
        **dict.fromkeys((401, 403, 429, 503), ProblemOut),
        **BODY_PROBLEMS,
    },
    summary="Ask what a line of text, or photos, come to",
    openapi_extra={"requestBody": BODY},
)
def create_recognition(
    request: HttpRequest,
    response: HttpResponse,
    idempotency_key: Key | None = IDEMPOTENCY_KEY,
) -> Status[RecognitionOut]:
    """JSON with a text, or a form with up to four photos and perhaps a text. Accepted at once:
    `Location` is where to look, `Retry-After` when.

    Photos are JPEG, PNG, WebP or HEIC of up to 10 MB each, and 20 MB together. They are kept
    smaller, without what came along with them, until they are PHOTO_RETENTION_DAYS old.

    It takes one from the quota, which is given back where the recognition fails. What was
    answered to the same user before is done at once, and takes nothing.

    Problems: `quota_exceeded` (403), `too_many_in_flight` (429), `daily_limit_reached` (503),
    `idempotency_key_reused` and `invalid_request` (422). With photos: `picture_too_big` (413),
    `picture_unsupported` (415), `picture_too_many_pixels`, `picture_unreadable` and
    `too_many_pictures` (422), `pictures_busy` and `photo_store_away` (503).
    """
    with refusals_as_problems():
        asked, pictures = asked_for(request)
        recognition = request_recognition(
            user=user_of(request),
            text=asked.text,
            language=(get_language() or "ru")[:2],
            pictures=pictures,
            idempotency_key=idempotency_key,
        )
    response["Location"] = f"{request.path}/{recognition.pk}"
    if recognition.status in Recognition.OPEN:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return Status(202, RecognitionOut.of(recognition))


@router.get(
    "/{uuid:recognition_id}",
    response={200: RecognitionOut, 304: None, 401: ProblemOut, 404: ProblemOut},
    summary="How far a recognition is, and what it found",
)
def show_recognition(
    request: HttpRequest, recognition_id: UUID, response: HttpResponse
) -> RecognitionOut | Status[None]:
    """Answers 304 to the ETag of the last answer; Retry-After says when to look again."""
    recognition = get_object_or_404(
        Recognition.objects.prefetch_related("items", "corrections__item", "photos"),
        pk=recognition_id,
        user=user_of(request),
    )
    shown = RecognitionOut.of(recognition)
    etag = f'"{hashlib.sha256(shown.model_dump_json().encode()).hexdigest()[:32]}"'
    response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache"
    response["Vary"] = "Authorization, Accept-Language"
    if recognition.status in Recognition.OPEN:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if _matches(etag, request.headers.get("If-None-Match", "")):
        return Status(304, None)
    return shown


def _matches(etag: str, if_none_match: str) -> bool:
    """The weak comparison of RFC 9110, 13.1.2; a proxy that compresses makes our ETag weak."""
    given = parse_etags(if_none_match)
    return given == ["*"] or etag in {one.removeprefix("W/") for one in given}


@router.get(
    "/{uuid:recognition_id}/photos/{int:number}",
    response={200: None, **dict.fromkeys((401, 404, 410, 503), ProblemOut)},
    summary="One of the photos",
    openapi_extra={
        "responses": {
            200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
        }
    },
)
def show_photo(request: HttpRequest, recognition_id: UUID, number: int) -> HttpResponse:
    """A JPEG, no side longer than 1,024 pixels; numbers begin with 1.

    Problems: `photo_deleted` (410), once it is too old to be kept; `photo_store_away` (503).
    """
    photo = get_object_or_404(
        Photo, recognition_id=recognition_id, recognition__user=user_of(request), position=number
    )
    with refusals_as_problems():
        if photo.deleted_at is not None:
            raise Refused("photo_deleted")
        return serve_photo(photo)


@router.post(
    "/{uuid:recognition_id}/cancel",
    response={200: RecognitionOut, 401: ProblemOut, 404: ProblemOut, 409: ProblemOut},
    summary="Cancel a recognition that is not wanted any more",
)
def cancel(request: HttpRequest, recognition_id: UUID) -> RecognitionOut:
    """What waits gives its place in the quota back. A call that is under way is paid for: it
    counts, and its answer is dropped. Afterwards the recognition is `failed` with the code
    `canceled`; canceling again answers the same.

    Problems: `recognition_settled` (409), where it is done or has failed.
    """
    recognition = get_object_or_404(Recognition, pk=recognition_id, user=user_of(request))
    with refusals_as_problems():
        return RecognitionOut.of(cancel_recognition(recognition=recognition))


@router.put(
    "/{uuid:recognition_id}/items",
    response={200: RecognitionOut, **dict.fromkeys((401, 404, 409), ProblemOut), **BODY_PROBLEMS},
    summary="Correct what was recognised",
)
def correct(request: HttpRequest, recognition_id: UUID, body: CorrectionsIn) -> RecognitionOut:
    """Before it is a meal, and as often as you like: the last word counts. What the model said is
    kept beside it, to learn how good it is.

    Problems: `recognition_not_done` and `recognition_accepted` (409), `no_such_item` and
    `too_much` (422).
    """
    recognition = get_object_or_404(Recognition, pk=recognition_id, user=user_of(request))
    with refusals_as_problems():
        corrections = body.corrections()
        corrected = correct_recognition(recognition=recognition, corrections=corrections)
        return RecognitionOut.of(corrected)


@router.post(
    "/{uuid:recognition_id}/accept",
    response={201: MealOut, 401: ProblemOut, 404: ProblemOut, 409: ProblemOut},
    summary="Make it a meal of the diary",
)
def accept(request: HttpRequest, recognition_id: UUID) -> Status[MealOut]:
    """Accepting again answers the same meal, as if for the first time.

    Problems: `recognition_not_done` and `nothing_to_count` (409).
    """
    recognition = get_object_or_404(Recognition, pk=recognition_id, user=user_of(request))
    with refusals_as_problems():
        meal = accept_recognition(recognition=recognition)
    return Status(201, MealOut.of(meal))


@quota_router.get(
    "",
    response={200: QuotaOut, 401: ProblemOut},
    summary="How many recognitions the user has left, and when new ones come",
)
def show_quota(request: HttpRequest) -> QuotaOut:
    """What is left is what the plan has for the period, less what is spent or reserved."""
    return QuotaOut.of(quota_of(user_of(request)))
