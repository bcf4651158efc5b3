"""Shapes that speak of food, for this app's API and those above it."""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from django.utils.translation import gettext as _
from ninja import Field, Schema
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from apps.nutrition.models import Food, Meal, Targets
from apps.nutrition.queries import Day, measures_of, sum_nutrients
from apps.nutrition.services.diary import round_to_cents
from config.schemas import EARLIEST, LATEST, Amount, Between, CalendarDate


def _written_time(value: Any) -> Any:
    """Refuse what pydantic would also read as a time: Unix timestamps."""
    if not isinstance(value, str) or not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", value):
        raise ValueError(_("Takes a date, a time and an offset: 2026-01-31T08:30:00+03:00"))
    return value


def _inside_the_calendar(time: datetime) -> datetime:
    """A year off its ends, so that it is a day of the calendar in every zone."""
    if not EARLIEST.year < time.year < LATEST.year:
        raise ValueError(_("Takes a time of the years 1971 to 2198"))
    return time


class WithoutNul:
    """Of a text: PostgreSQL keeps none that holds a NUL."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_without_nul, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        shown: dict[str, Any] = handler(schema)
        # What must be there must be more than spaces, which are taken off.
        something = r"[^\s\u0000][^\u0000]*" if shown.get("minLength") else ""
        return shown | {"pattern": rf"^[^\u0000]*{something}$"}


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError(_("May not hold NUL characters"))
    return text


DiaryDate = Annotated[
    CalendarDate,
    Field(ge=EARLIEST, le=LATEST, description="YYYY-MM-DD", examples=["2026-01-31"]),
]
MealTime = Annotated[
    AwareDatetime,
    BeforeValidator(_written_time),
    AfterValidator(_inside_the_calendar),
    # JSON Schema has no bounds for times.
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "pattern": "^(197[1-9]|19[89]|20|21[0-8]|219[0-8])",
            "description": "With an offset from UTC; of the years 1971 to 2198",
            "examples": ["2026-01-31T08:30:00+03:00"],
        }
    ),
]
FoodText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=128),
    WithoutNul(),
]


Grams = Annotated[Decimal, Between("0.01", "10000")]
Kilocalories = Annotated[Decimal, Between("0", "100000")]
NutrientGrams = Annotated[Decimal, Between("0", "10000")]


class NutrientsOut(Schema):
    energy_kcal: Amount = Field(examples=[155.0])
    protein_g: Amount = Field(examples=[12.58])
    fat_g: Amount = Field(examples=[10.61])
    carbohydrate_g: Amount = Field(examples=[1.12])


class PortionOut(NutrientsOut):
    name: str = Field(examples=["Boiled egg"])
    grams: Amount = Field(examples=[100.0])
    doubtful: bool = Field(
        description="The energy is more than 25 % off 4·protein + 9·fat + 4·carbohydrate",
        examples=[False],
    )


class MealItemOut(PortionOut):
    id: int = Field(examples=[71])
    food_id: int | None = Field(description="The food that it is of, if one", examples=[112])


class MealOut(Schema):
    id: int = Field(examples=[15])
    date: DiaryDate = Field(description="The day that it was eaten on, where its eater was")
    eaten_at: datetime
    time_zone: str = Field(description="The zone it was eaten in", examples=["Europe/Moscow"])
    totals: NutrientsOut
    items: list[MealItemOut]

    @classmethod
    def of(cls, meal: Meal) -> "MealOut":
        items = list(meal.items.all())
        return cls(
            id=meal.pk,
            date=meal.date,
            eaten_at=meal.eaten_at,
            time_zone=meal.time_zone,
            totals=NutrientsOut(**sum_nutrients(items)),
            items=[MealItemOut.from_orm(item) for item in items],
        )


class TargetsOut(NutrientsOut):
    from_date: date = Field(description="The day since which they hold")
    by_hand: bool = Field(description="Set by the user, not computed", examples=[False])

    @classmethod
    def of(cls, targets: Targets | None) -> "TargetsOut | None":
        return cls.from_orm(targets) if targets is not None else None


class DayOut(Schema):
    date: date
    totals: NutrientsOut
    targets: TargetsOut | None = Field(description="What was meant to be eaten; null where nothing")
    left: NutrientsOut | None = Field(description="Targets less totals; negative beyond them")
    missing: list[str] = Field(
        description="What the profile lacks for targets; empty where there are some",
        examples=[["weight_kg"]],
    )
    meals: list[MealOut]

    @classmethod
    def of(cls, day: Day, missing: list[str]) -> "DayOut":
        return cls(
            date=day.date,
            totals=NutrientsOut(**day.totals),
            targets=TargetsOut.of(day.targets),
            left=NutrientsOut(**day.left) if day.left is not None else None,
            missing=missing,
            meals=[MealOut.of(meal) for meal in day.meals],
        )


class MeasureOut(Schema):
    name: str = Field(examples=["cup"])
    grams: Amount = Field(description="What one weighs", examples=[244.0])


class FoodOut(NutrientsOut):
    """Nutrients are per 100 g."""

    id: int = Field(examples=[112])
    title: str = Field(description="In the language asked for", examples=["Boiled egg"])
    name: str = Field(
        description="As its table has it", examples=["Egg, whole, cooked, hard-boiled"]
    )
    own: bool = Field(description="The user's own", examples=[False])
    favourite: bool = Field(examples=[False])
    fiber_g: Amount | None = Field(examples=[0.0])
    sugar_g: Amount | None = Field(examples=[1.12])
    grams_each: Amount | None = Field(description="What one piece weighs", examples=[50.0])
    doubtful: bool = Field(
        description="The energy is more than 25 % off 4·protein + 9·fat + 4·carbohydrate",
        examples=[False],
    )
    measures: list[MeasureOut]

    @classmethod
    def of(cls, food: Food, language: str) -> "FoodOut":
        """`food` is one of `search.seen_foods`."""
        fields = ("energy_kcal", "protein_g", "fat_g", "carbohydrate_g", "fiber_g", "sugar_g")
        return cls(
            id=food.pk,
            title=food.title(language),
            name=food.name,
            own=food.owner_id is not None,
            favourite=getattr(food, "favourite", False),
            grams_each=food.grams_each,
            doubtful=food.doubtful,
            measures=[
                MeasureOut(name=measure.name, grams=round_to_cents(measure.grams))
                for measure in measures_of(food)
            ],
            **{field: getattr(food, field) for field in fields},
        )


class FoodPage(Schema):
    foods: list[FoodOut]
