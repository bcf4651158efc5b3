"""Taking everything away, and leaving, over HTTP."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import Field, Router, Schema, Status
from pydantic import ConfigDict, JsonValue

from apps.accounts.models import Deletion, Export
from apps.accounts.queries import exported_document, latest_export
from apps.accounts.services import request_deletion, request_export
from apps.accounts.tokens import user_of
from config.problems import BODY_PROBLEMS, Problem, ProblemOut

router = Router()

RETRY_AFTER_SECONDS = 2


class ExportOut(Schema):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "3f0a8a4e-6f0b-4f4e-9a57-2f1f5d0c9b11",
                "status": "done",
                "created_at": "2026-11-21T12:00:00Z",
                "finished_at": "2026-11-21T12:00:02Z",
                "kept_until": "2026-11-28T12:00:02Z",
            }
        }
    )

    id: UUID
    status: Export.Status
    created_at: datetime
    finished_at: datetime | None
    kept_until: datetime | None = Field(description="The file may be gone after this")

    @classmethod
    def of(cls, export: Export) -> "ExportOut":
        done = export.status == Export.Status.DONE
        return cls(
            id=export.pk,
            status=Export.Status(export.status),
            created_at=export.created_at,
            finished_at=export.finished_at,
            kept_until=export.finished_at + Export.keep
            if done and export.finished_at and Export.keep
            else None,
        )


class ExportedOut(Schema):
    """What is kept about one person. Decimal numbers are texts, so that none is rounded."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "exported_at": "2026-11-21T12:00:02Z",
                "data": {"profile": {"first_name": "Anna", "weights": []}},
            }
        }
    )

    exported_at: datetime
    data: dict[str, JsonValue] = Field(description="By the part of the service that keeps it")


class Leave(Schema):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"confirmation": "delete my account"}}
    )

    confirmation: Literal["delete my account"] = Field(
        description="These very words: there is no way back"
    )


class LeavingOut(Schema):
    model_config = ConfigDict(json_schema_extra={"example": {"status": "pending"}})

    status: Deletion.Status


@router.post(
    "/export",
    response={202: ExportOut, 401: ProblemOut},
    summary="Have everything about me written into one file",
)
def ask_for_export(request: HttpRequest, response: HttpResponse) -> Status[ExportOut]:
    """One at a time: asked while one is under way, the answer is that one. A new one takes the
    place of the one before it."""
    export = request_export(user=user_of(request))
    export.refresh_from_db(fields=["created_at"])
    response["Location"] = request.path
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return Status(202, ExportOut.of(export))


@router.get(
    "/export",
    response={200: ExportOut, 401: ProblemOut, 404: ProblemOut},
    summary="How far the file about me is",
)
def show_export(request: HttpRequest, response: HttpResponse) -> ExportOut:
    """`Retry-After` says when to look again; there is none once nothing more will happen."""
    export = latest_export(user=user_of(request))
    if export is None:
        raise Problem(404, "not_found", _("There is nothing here"))
    if export.status in Export.OPEN:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return ExportOut.of(export)


@router.get(
    "/export/file",
    response={200: ExportedOut, 401: ProblemOut, 404: ProblemOut},
    summary="The file about me",
)
def download_export(request: HttpRequest) -> HttpResponse:
    """There once its status is `done`, and for seven days."""
    document = exported_document(user=user_of(request))
    if document is None:
        raise Problem(404, "not_found", _("There is nothing here"))
    headers = {
        "Content-Disposition": 'attachment; filename="eatfit24.json"',
        "Cache-Control": "private, no-store",
    }
    return HttpResponse(document, content_type="application/json", headers=headers)


@router.delete(
    "",
    response={202: LeavingOut, 401: ProblemOut, **BODY_PROBLEMS},
    summary="Delete my account and everything in it",
)
def leave(request: HttpRequest, body: Leave) -> Status[LeavingOut]:
    """From this moment no token of the account is believed, and no login let in. A minute later
    everything is erased: profile, diary, photos, messages. What was paid stays in the books,
    without a name. Whoever logs in after that is somebody new."""
    deletion = request_deletion(user=user_of(request))
    return Status(202, LeavingOut(status=Deletion.Status(deletion.status)))
