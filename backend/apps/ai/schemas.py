"""Shapes of recognitions over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field, StringConstraints

from apps.ai.corrections import Correction
from apps.ai.models import TEXT_LIMIT, CorrectedItem, Recognition, RecognizedItem
from apps.ai.problems import REMARKS, TROUBLES, UNKNOWN, Action
from apps.ai.quota import Quota
from apps.nutrition.schemas import (
    Grams,
    Kilocalories,
    NutrientGrams,
    PortionOut,
    WithoutNul,
)
from config.schemas import Amount

MOST_CORRECTIONS = 50

ItemName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255),
    WithoutNul(),
]
MealText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=TEXT_LIMIT),
    WithoutNul(),
]


Caption = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=TEXT_LIMIT),
    WithoutNul(),
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
    retryable: bool = Field(description="Whether the same again may succeed", examples=[True])
    retry_after: int | None = Field(description="Seconds, where we know", examples=[30])

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
    width: int = Field(examples=[1024])
    height: int = Field(examples=[683])
    deleted_at: datetime | None = Field(
        description="When it had become too old to keep", examples=[None]
    )


class ItemOut(PortionOut):
    id: int | None = Field(
        description="Of what the model said; null for what a user added", examples=[71]
    )
    confidence: Amount | None = Field(description="The model's own, from 0 to 1", examples=[0.9])

    @classmethod
    def of(cls, line: RecognizedItem | CorrectedItem) -> "ItemOut":
        said = line if isinstance(line, RecognizedItem) else line.item
        return cls(
            id=said.pk if said else None,
            confidence=said.confidence if said else None,
            **PortionOut.from_orm(line).dict(),
        )


class CorrectionIn(Schema):
    """What one of the items really was: of what is left out, the model's word is taken, in
    proportion to the grams."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"item_id": 71, "grams": 120}]}
    )
    item_id: int = Field(ge=1, lt=2**63)
    name: ItemName | None = None
    grams: Grams | None = None
    energy_kcal: Kilocalories | None = None
    protein_g: NutrientGrams | None = None
    fat_g: NutrientGrams | None = None
    carbohydrate_g: NutrientGrams | None = None


class AdditionIn(Schema):
    """What the model overlooked; nutrients are those of `grams`."""

    model_config = ConfigDict(extra="forbid")
    name: ItemName = Field(examples=["Bread"])
    grams: Grams = Field(examples=[40])
    energy_kcal: Kilocalories = Field(examples=[100])
    protein_g: NutrientGrams = Field(examples=[3])
    fat_g: NutrientGrams = Field(examples=[1])
    carbohydrate_g: NutrientGrams = Field(examples=[19])


class CorrectionsIn(Schema):
    """Every item there is: what is not among them was not eaten."""

    items: list[CorrectionIn | AdditionIn] = Field(min_length=1, max_length=MOST_CORRECTIONS)

    def corrections(self) -> list[Correction]:
        said = [item.model_dump(exclude_none=True) for item in self.items]
        return [Correction(item_id=item.pop("item_id", None), values=item) for item in said]


class RecognitionOut(Schema):
    id: UUID
    status: Recognition.Status = Field(examples=["done"])
    outcome: Recognition.Outcome | None = Field(
        description="What it came to, once it is done", examples=["recognized"]
    )
    message: str = Field(
        description="For the user, where the outcome is not simply a meal", examples=[""]
    )
    actions: list[Action] = Field(
        description="What the user can do about such an outcome", examples=[[]]
    )
    items: list[ItemOut]
    corrected: bool = Field(description="Whether the items are the user's word, not the model's")
    notes: str = Field(description="What the model remarks", examples=["Cooked without oil"])
    photos: list[PhotoOut]
    meal_id: int | None = Field(description="The meal of the diary that it became", examples=[15])
    error: ErrorOut | None = Field(description="Where the status is failed", examples=[None])

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
            items=[ItemOut.of(line) for line in recognition.lines()],
            corrected=bool(recognition.corrections.all()),
            notes=recognition.notes,
            photos=[PhotoOut.from_orm(photo) for photo in recognition.photos.all()],
            meal_id=recognition.meal_id,
            error=ErrorOut.of(recognition) if failed else None,
        )


class QuotaOut(Schema):
    plan: str = Field(examples=["free"])
    recognitions: int = Field(description="What the plan has for the period", examples=[30])
    reserved: int = Field(description="Of those that are still open", examples=[1])
    spent: int = Field(
        description="Of those that were delivered, or canceled under way", examples=[4]
    )
    left: int = Field(examples=[25])
    begins: datetime = Field(examples=["2026-01-01T00:00:00Z"])
    renews_at: datetime = Field(examples=["2026-02-01T00:00:00Z"])

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
