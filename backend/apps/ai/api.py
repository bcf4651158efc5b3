"""Recognitions over HTTP: ask, look, accept."""

import hashlib
from datetime import datetime
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import parse_etags
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from ninja import Field, Router, Schema, Status
from pydantic import AfterValidator, StringConstraints

from apps.accounts.tokens import user_of
from apps.ai.models import TEXT_LIMIT, Photo, Recognition
from apps.ai.pictures import Picture
from apps.ai.services import NotAcceptable, accept_recognition, request_recognition
from apps.ai.serving import serve_photo
from apps.ai.uploads import (
    FORM,
    MOST_PICTURES,
    picture_problems,
    read_form,
    read_pictures,
    validated,
)
from apps.nutrition.schemas import MealOut, PortionOut
from config.problems import BODY_PROBLEMS, JsonParser, Problem, ProblemOut

router = Router()

RETRY_AFTER_SECONDS = 1


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("may not hold NUL characters")
    return text


MealText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=TEXT_LIMIT),
    AfterValidator(_without_nul),
]


Caption = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=TEXT_LIMIT),
    AfterValidator(_without_nul),
]


class RecognitionIn(Schema):
    text: MealText


class CaptionIn(Schema):
    """What may be said beside photos."""

    text: Caption = ""


class RecognitionAccepted(Schema):
    id: UUID
    status: Recognition.Status


class ErrorOut(Schema):
    code: str
    title: str
    detail: str


class PhotoOut(Schema):
    width: int
    height: int
    deleted_at: datetime | None = Field(description="When it had become too old to keep")


class RecognitionOut(Schema):
    id: UUID
    status: Recognition.Status
    items: list[PortionOut]
    notes: str
    photos: list[PhotoOut]
    meal_id: int | None
    error: ErrorOut | None

    @classmethod
    def of(cls, recognition: Recognition) -> "RecognitionOut":
        return cls(
            id=recognition.pk,
            status=Recognition.Status(recognition.status),
            items=[PortionOut.from_orm(item) for item in recognition.items.all()],
            notes=recognition.notes,
            photos=[PhotoOut.from_orm(photo) for photo in recognition.photos.all()],
            meal_id=recognition.meal_id,
            error=_error_of(recognition),
        )


def _error_of(recognition: Recognition) -> ErrorOut | None:
    if recognition.status != Recognition.Status.FAILED:
        return None
    details = {
        "pictures_not_supported": _("This server reads text alone. Please describe the meal."),
    }
    return ErrorOut(
        code=recognition.error_code,
        title=_("The meal was not recognised"),
        detail=details.get(
            recognition.error_code, _("Something went wrong on our side. Please try again.")
        ),
    )


BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": RecognitionIn.model_json_schema()},
        FORM: {
            "schema": {
                "title": "Photos",
                "type": "object",
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
    fields, files = read_form(request)
    if not files:
        return validated(RecognitionIn, fields), []
    return validated(CaptionIn, fields), read_pictures(files)


@router.post(
    "",
    response={202: RecognitionAccepted, 401: ProblemOut, 503: ProblemOut, **BODY_PROBLEMS},
    summary="Ask what a line of text, or photos, come to",
    openapi_extra={"requestBody": BODY},
)
def create_recognition(request: HttpRequest, response: HttpResponse) -> Status[RecognitionAccepted]:
    """JSON with a text, or a form with up to four photos and perhaps a text.

    Photos are JPEG, PNG, WebP or HEIC of up to 10 MB each, and 20 MB together. They are kept
    smaller, without what came along with them, until they are PHOTO_RETENTION_DAYS old.

    Problems with photos: `picture_too_big` (413), `picture_unsupported` (415),
    `picture_too_many_pixels`, `picture_unreadable` and `too_many_pictures` (422),
    `pictures_busy` and `photo_store_away` (503).
    """
    with picture_problems():
        asked, pictures = asked_for(request)
        recognition = request_recognition(
            user=user_of(request),
            text=asked.text,
            language=(get_language() or "ru")[:2],
            pictures=pictures,
        )
    response["Location"] = f"{request.path}/{recognition.pk}"
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    accepted = RecognitionAccepted(id=recognition.pk, status=Recognition.Status.PENDING)
    return Status(202, accepted)


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
        Recognition.objects.prefetch_related("items", "photos"),
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
    if photo.deleted_at is not None:
        raise Problem(410, "photo_deleted", _("Photos are not kept for so long"))
    with picture_problems():
        return serve_photo(photo)


@router.post(
    "/{uuid:recognition_id}/accept",
    response={201: MealOut, 401: ProblemOut, 404: ProblemOut, 409: ProblemOut},
    summary="Make it a meal of the diary",
)
def accept(request: HttpRequest, recognition_id: UUID) -> Status[MealOut]:
    """Accepting again answers the same meal, as if for the first time."""
    recognition = get_object_or_404(Recognition, pk=recognition_id, user=user_of(request))
    try:
        meal = accept_recognition(recognition=recognition)
    except NotAcceptable as error:
        titles = {
            "recognition_not_done": _("The meal is not recognised yet"),
            "nothing_to_count": _("There is nothing here that could be counted"),
        }
        raise Problem(409, error.code, titles[error.code]) from None
    return Status(201, MealOut.of(meal))
