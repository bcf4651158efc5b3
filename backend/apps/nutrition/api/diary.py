"""The diary over HTTP."""

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Body, Field, Path, Router, Schema, Status
from pydantic import ConfigDict, Discriminator, Tag

from apps.accounts.models import User
from apps.accounts.tokens import user_of
from apps.nutrition.api.common import READS, WRITES, IdempotencyKey, missing_is_404, spoken
from apps.nutrition.models import Food, Meal
from apps.nutrition.queries import get_day, measures_of, read_body
from apps.nutrition.schemas import (
    DayOut,
    DiaryDate,
    FoodText,
    Grams,
    Kilocalories,
    MealOut,
    MealTime,
    NutrientGrams,
)
from apps.nutrition.services import diary
from apps.nutrition.services.diary import MAX_ITEMS, Portion, portion_of
from config.problems import Problem, ProblemOut
from config.schemas import Between

router = Router()

HEAVIEST = Decimal(10_000)


class ByWeight(Schema):
    """So many grams of a food."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"food_id": 112, "grams": 150}]}
    )
    food_id: int = Field(ge=1, lt=2**63)
    grams: Grams


class ByMeasure(Schema):
    """So many of a measure of a food, as its `measures` name it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"food_id": 112, "measure": "each", "amount": 2}]},
    )
    food_id: int = Field(ge=1, lt=2**63)
    measure: FoodText
    amount: Annotated[Decimal, Between("0.01", "1000")] = Decimal(1)


class Free(Schema):
    """Anything else, with what is known of it; nutrients are those of `grams`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Grandmother's pie",
                    "grams": 120,
                    "energy_kcal": 320,
                    "protein_g": 6,
                    "fat_g": 12,
                    "carbohydrate_g": 46,
                }
            ]
        },
    )
    name: FoodText
    grams: Grams
    energy_kcal: Kilocalories
    protein_g: NutrientGrams
    fat_g: NutrientGrams
    carbohydrate_g: NutrientGrams


def _kind(item: Any) -> str:
    keys = item if isinstance(item, dict) else vars(item) if hasattr(item, "__dict__") else {}
    if "food_id" not in keys:
        return "free"
    return "by_measure" if "measure" in keys else "by_weight"


ItemIn = Annotated[
    Annotated[ByWeight, Tag("by_weight")]
    | Annotated[ByMeasure, Tag("by_measure")]
    | Annotated[Free, Tag("free")],
    Discriminator(_kind),
]


class MealIn(Schema):
    eaten_at: MealTime | None = Field(None, description="Now, where it is not said")
    items: list[ItemIn] = Field(min_length=1, max_length=MAX_ITEMS)


class MealChange(Schema):
    eaten_at: MealTime


class MealCopy(Schema):
    date: DiaryDate


class ItemChange(Schema):
    """What is left out stays. Where `grams` change, nutrients left out follow in proportion."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"grams": 180}]})
    name: FoodText | None = None
    grams: Grams | None = None
    energy_kcal: Kilocalories | None = None
    protein_g: NutrientGrams | None = None
    fat_g: NutrientGrams | None = None
    carbohydrate_g: NutrientGrams | None = None


def _portions(user: User, items: list[Any]) -> Iterator[Portion]:
    """What the items come to; two queries, whatever their number, once somebody asks: a meal that
    a request repeats is answered also when its foods are gone."""
    keys = {item.food_id for item in items if not isinstance(item, Free)}
    found = Food.objects.seen_by(user).filter(pk__in=keys) if keys else Food.objects.none()
    foods = {food.pk: food for food in found.prefetch_related("measures")}
    yield from (_portion(item, foods) for item in items)


def _portion(item: ByWeight | ByMeasure | Free, foods: dict[int, Food]) -> Portion:
    if isinstance(item, Free):
        return Portion(**item.dict())
    food = foods.get(item.food_id)
    if food is None:
        raise Problem(404, "unknown_food", _("There is no such food"))
    if isinstance(item, ByWeight):
        return portion_of(food, item.grams, spoken())
    weights = {measure.name: measure.grams for measure in measures_of(food)}
    if item.measure not in weights:
        raise Problem(404, "unknown_measure", _("The food has no such measure"))
    grams = item.amount * weights[item.measure]
    if not Decimal("0.01") <= grams <= HEAVIEST:
        raise _implausible()
    return portion_of(food, grams, spoken())


def _key(text: str | None, kind: str, body: Schema) -> diary.Key | None:
    if text is None:
        return None
    content = hashlib.sha256(f"{kind}\n{body.model_dump_json()}".encode()).hexdigest()
    return diary.Key(text, content)


def _key_reused() -> Problem:
    title = _("This Idempotency-Key belongs to another request")
    return Problem(422, "idempotency_key_reused", title, _("A new request takes a new key."))


def _implausible() -> Problem:
    return Problem(422, "implausible_amount", _("Nobody eats so much, or so little"))


@router.post(
    "/meals",
    response={201: MealOut, 404: ProblemOut, **WRITES},
    summary="Write a meal into the diary",
)
def create_meal(
    request: HttpRequest, body: MealIn, idempotency_key: IdempotencyKey = None
) -> Status[MealOut]:
    """Items are weights or measures of foods, or anything with nutrients of its own.

    The meal is of the day that its time is in the user's zone now; a later change of zone
    moves it to no other day. 404 `unknown_food` and `unknown_measure`, and 422
    `implausible_amount` and `idempotency_key_reused`, write nothing.
    """
    user = user_of(request)
    try:
        meal = diary.create_meal(
            user=user,
            eaten_at=body.eaten_at or timezone.now(),
            portions=_portions(user, body.items),
            key=_key(idempotency_key, "meal", body),
        )
    except diary.KeyReused:
        raise _key_reused() from None
    return Status(201, MealOut.of(meal))


@router.get(
    "/meals/{int:meal_id}",
    response={200: MealOut, 401: ProblemOut, 404: ProblemOut},
    summary="One meal of the diary",
)
def show_meal(request: HttpRequest, meal_id: int) -> MealOut:
    """The meal with its items, in the order in which they were written."""
    with missing_is_404():
        meal = Meal.objects.prefetch_related("items").get(pk=meal_id, user=user_of(request))
    return MealOut.of(meal)


@router.patch(
    "/meals/{int:meal_id}",
    response={200: MealOut, 404: ProblemOut, **WRITES},
    summary="Move a meal to another time",
)
def move_meal(request: HttpRequest, meal_id: int, body: MealChange) -> MealOut:
    """It becomes one of the day that the time is in the user's zone now."""
    with missing_is_404():
        return MealOut.of(
            diary.move_meal(user=user_of(request), meal_id=meal_id, eaten_at=body.eaten_at)
        )


@router.delete(
    "/meals/{int:meal_id}",
    response={204: None, 401: ProblemOut, 404: ProblemOut},
    summary="Take a meal out of the diary",
)
def delete_meal(request: HttpRequest, meal_id: int) -> Status[None]:
    """Its items go with it."""
    with missing_is_404():
        diary.delete_meal(user=user_of(request), meal_id=meal_id)
    return Status(204, None)


@router.post(
    "/meals/{int:meal_id}/copy",
    response={201: MealOut, 404: ProblemOut, **WRITES},
    summary="Eat the same again on another day",
)
def copy_meal(
    request: HttpRequest, meal_id: int, body: MealCopy, idempotency_key: IdempotencyKey = None
) -> Status[MealOut]:
    """At the same time of day; the numbers are those of the meal, also where its foods changed.

    422 `idempotency_key_reused` copies nothing.
    """
    try:
        with missing_is_404():
            meal = diary.copy_meal(
                user=user_of(request),
                meal_id=meal_id,
                day=body.date,
                key=_key(idempotency_key, f"copy of {meal_id}", body),
            )
    except diary.KeyReused:
        raise _key_reused() from None
    return Status(201, MealOut.of(meal))


@router.post(
    "/meals/{int:meal_id}/items",
    response={201: MealOut, 404: ProblemOut, 409: ProblemOut, **WRITES},
    summary="Add an item to a meal",
)
def add_item(
    request: HttpRequest, meal_id: int, item: Annotated[ItemIn, Body()]
) -> Status[MealOut]:
    """It comes last. 409 `meal_full` where there are 100 already."""
    user = user_of(request)
    (portion,) = _portions(user, [item])
    try:
        with missing_is_404():
            meal = diary.add_item(user=user, meal_id=meal_id, portion=portion)
    except diary.MealFull:
        raise Problem(409, "meal_full", _("A meal takes no more items")) from None
    return Status(201, MealOut.of(meal))


@router.patch(
    "/meals/{int:meal_id}/items/{int:item_id}",
    response={200: MealOut, 404: ProblemOut, **WRITES},
    summary="Change an item of a meal",
)
def edit_item(request: HttpRequest, meal_id: int, item_id: int, body: ItemChange) -> MealOut:
    """Its name, weight or nutrients."""
    try:
        with missing_is_404():
            meal = diary.edit_item(
                user=user_of(request),
                meal_id=meal_id,
                item_id=item_id,
                changes=body.dict(exclude_none=True),
            )
    except diary.TooMuch:
        raise _implausible() from None
    return MealOut.of(meal)


@router.delete(
    "/meals/{int:meal_id}/items/{int:item_id}",
    response={204: None, 401: ProblemOut, 404: ProblemOut},
    summary="Take an item out of a meal",
)
def delete_item(request: HttpRequest, meal_id: int, item_id: int) -> Status[None]:
    """With its last item the meal goes too."""
    with missing_is_404():
        diary.delete_item(user=user_of(request), meal_id=meal_id, item_id=item_id)
    return Status(204, None)


@router.get(
    "/{date}", response={200: DayOut, **READS}, summary="A day: its meals and what they come to"
)
def show_day(request: HttpRequest, date: Annotated[DiaryDate, Path()]) -> DayOut:
    """The day is the user's: between two midnights of the zone they then were in."""
    user = user_of(request)
    day = get_day(user=user, day=date)
    return DayOut.of(day, [] if day.targets else read_body(user)[1])
