"""Shapes of recognitions over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from ninja import Schema
from pydantic import AfterValidator, Field, StringConstraints

from apps.ai.models import TEXT_LIMIT, Recognition
from apps.ai.problems import REMARKS, TROUBLES, UNKNOWN, Action
from apps.ai.quota import Quota
from apps.nutrition.schemas import PortionOut


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
    text: MealText = Field(examples=["2 eggs, 150 g rice and a banana"])


class CaptionIn(Schema):
    """What may be said beside photos."""

    text: Caption = ""


class ErrorOut(Schema):
    """Why a recognition failed, and what the user can do."""

    code: str = Field(examples=["provider_timeout"])
    title: str = Field(examples=["The meal was not recognised"])
    detail: str = Field(examples=["It took too long. Please try again."])
    actions: list[Action] = Field(examples=[["retry", "describe_in_words"]])
    retryable: bool = Field(description="Whether the same again may succeed")
    retry_after: int | None = Field(description="Seconds, where we know")

    @classmethod
    def of(cls, recognition: Recognition) -> "ErrorOut":
        code = recognition.error_code
        trouble = TROUBLES.get(code, UNKNOWN)
        return cls(
            code=code,
            title=str(trouble.title),
            detail=str(trouble.detail),
            actions=list(trouble.actions),
            retryable=trouble.retryable,
            retry_after=trouble.retry_after,
        )


class PhotoOut(Schema):
    width: int
    height: int
    deleted_at: datetime | None = Field(description="When it had become too old to keep")


class RecognitionOut(Schema):
    id: UUID
    status: Recognition.Status
    outcome: Recognition.Outcome | None = Field(description="What it came to, once it is done")
    message: str = Field(description="For the user, where the outcome is not simply a meal")
    actions: list[Action] = Field(description="What the user can do about such an outcome")
    items: list[PortionOut]
    notes: str = Field(description="What the model remarks")
    photos: list[PhotoOut]
    meal_id: int | None = Field(description="The meal of the diary that it became")
    error: ErrorOut | None = Field(description="Where the status is failed")

    @classmethod
    def of(cls, recognition: Recognition) -> "RecognitionOut":
        failed = recognition.status == Recognition.Status.FAILED
        remark = REMARKS.get(recognition.outcome)
        return cls(
            id=recognition.pk,
            status=Recognition.Status(recognition.status),
            outcome=Recognition.Outcome(recognition.outcome) if recognition.outcome else None,
            message=str(remark.text) if remark else "",
            actions=list(remark.actions) if remark else [],
            items=[PortionOut.from_orm(item) for item in recognition.items.all()],
            notes=recognition.notes,
            photos=[PhotoOut.from_orm(photo) for photo in recognition.photos.all()],
            meal_id=recognition.meal_id,
            error=ErrorOut.of(recognition) if failed else None,
        )


class QuotaOut(Schema):
    plan: str = Field(examples=["free"])
    recognitions: int = Field(description="What the plan has for the period")
    reserved: int = Field(description="Of those that are still open")
    spent: int = Field(description="Of those that were delivered, or canceled under way")
    left: int
    begins: datetime
    renews_at: datetime

    @classmethod
    def of(cls, quota: Quota) -> "QuotaOut":
        return cls(
            plan=quota.allowance.plan,
            recognitions=quota.allowance.recognitions,
            reserved=quota.reserved,
            spent=quota.spent,
            left=quota.left,
            begins=quota.allowance.begins,
            renews_at=quota.allowance.ends,
        )
