"""Foods over HTTP: found, kept, remembered."""

from decimal import Decimal
from typing import Annotated

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Field, Query, Router, Schema, Status
from pydantic import ConfigDict

from apps.accounts.models import User
from apps.accounts.tokens import user_of
from apps.nutrition import queries
from apps.nutrition.api.common import READS, WRITES, Limit, missing_is_404, spoken
from apps.nutrition.models import Food
from apps.nutrition.schemas import (
    FoodOut,
    FoodPage,
    FoodText,
    Grams,
    WithoutNul,
)
from apps.nutrition.search import search_foods, seen_foods
from apps.nutrition.services import foods as services
from config.problems import Problem, ProblemOut
from config.schemas import Between

router = Router()

SearchText = Annotated[
    str,
    WithoutNul(),
    Query(max_length=100, description="Words or their beginnings", examples=["eggs boi"]),
]


class FoodIn(Schema):
    """Nutrients are per 100 g."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Grandmother's pie",
                    "grams_each": 120,
                    "energy_kcal": 267,
                    "protein_g": 5,
                    "fat_g": 10,
                    "carbohydrate_g": 38.5,
                }
            ]
        },
    )
    name: FoodText
    grams_each: Grams | None = Field(None, description="What one piece weighs")
    energy_kcal: Annotated[Decimal, Between("0", "1000")]
    protein_g: Annotated[Decimal, Between("0", "100")]
    fat_g: Annotated[Decimal, Between("0", "100")]
    carbohydrate_g: Annotated[Decimal, Between("0", "100")]


def _too_many() -> Problem:
    return Problem(409, "too_many_foods", _("There are too many of them already"))


def _shown(user: User, food_id: int) -> FoodOut:
    with missing_is_404():
        return FoodOut.of(seen_foods(user).get(pk=food_id), spoken())


def _page(foods: list[Food]) -> FoodPage:
    language = spoken()
    return FoodPage(foods=[FoodOut.of(food, language) for food in foods])


@router.get("", response={200: FoodPage, **READS}, summary="Find a food by what it is called")
def find_foods(request: HttpRequest, q: SearchText, limit: Limit = 20) -> FoodPage:
    """In Russian and English alike, the likeliest first, the user's own before the table's.

    Words may be in any form and order, and may be begun only. What holds no word finds nothing.
    """
    return _page(search_foods(user=user_of(request), text=q, limit=limit))


@router.get("/recent", response={200: FoodPage, **READS}, summary="What was eaten of late")
def recent_foods(request: HttpRequest, limit: Limit = 20) -> FoodPage:
    """Foods of the meals of the last 90 days, the latest first."""
    return _page(queries.get_recent_foods(user=user_of(request), limit=limit))


@router.get("/favourites", response={200: FoodPage, **READS}, summary="The user's favourite foods")
def favourite_foods(request: HttpRequest, limit: Limit = 20) -> FoodPage:
    """The newest first."""
    return _page(queries.get_favourite_foods(user=user_of(request), limit=limit))


@router.get("/own", response={200: FoodPage, **READS}, summary="The user's own foods")
def own_foods(request: HttpRequest, limit: Limit = 20) -> FoodPage:
    """The newest first."""
    return _page(queries.get_own_foods(user=user_of(request), limit=limit))


@router.post(
    "",
    response={201: FoodOut, 409: ProblemOut, **WRITES},
    summary="Make a food of one's own",
)
def create_food(request: HttpRequest, body: FoodIn) -> Status[FoodOut]:
    """Nobody else sees it. 409 `too_many_foods` beyond 1,000 of them."""
    user = user_of(request)
    try:
        food = services.create_food(user=user, **body.dict())
    except services.TooMany:
        raise _too_many() from None
    return Status(201, _shown(user, food.pk))


@router.get(
    "/{int:food_id}",
    response={200: FoodOut, 401: ProblemOut, 404: ProblemOut},
    summary="One food, with its measures",
)
def show_food(request: HttpRequest, food_id: int) -> FoodOut:
    """Of the table, or the user's own."""
    return _shown(user_of(request), food_id)


@router.put(
    "/{int:food_id}",
    response={200: FoodOut, 404: ProblemOut, **WRITES},
    summary="Say anew what an own food is",
)
def change_food(request: HttpRequest, food_id: int, body: FoodIn) -> FoodOut:
    """What was eaten of it keeps its numbers. Foods of the table are not to be changed: 404."""
    user = user_of(request)
    with missing_is_404():
        food = services.change_food(user=user, food_id=food_id, **body.dict())
    return _shown(user, food.pk)


@router.delete(
    "/{int:food_id}",
    response={204: None, 401: ProblemOut, 404: ProblemOut},
    summary="Forget an own food",
)
def delete_food(request: HttpRequest, food_id: int) -> Status[None]:
    """What was eaten of it keeps its name and numbers. Foods of the table cannot be: 404."""
    with missing_is_404():
        services.delete_food(user=user_of(request), food_id=food_id)
    return Status(204, None)


@router.put(
    "/{int:food_id}/favourite",
    response={204: None, 401: ProblemOut, 404: ProblemOut, 409: ProblemOut},
    summary="Make a food a favourite",
)
def add_favourite(request: HttpRequest, food_id: int) -> Status[None]:
    """Again changes nothing. 409 `too_many_foods` beyond 1,000 of them."""
    try:
        with missing_is_404():
            services.add_favourite(user=user_of(request), food_id=food_id)
    except services.TooMany:
        raise _too_many() from None
    return Status(204, None)


@router.delete(
    "/{int:food_id}/favourite",
    response={204: None, 401: ProblemOut, 404: ProblemOut},
    summary="Make a food no favourite any more",
)
def remove_favourite(request: HttpRequest, food_id: int) -> Status[None]:
    """Of what is none it changes nothing."""
    with missing_is_404():
        services.remove_favourite(user=user_of(request), food_id=food_id)
    return Status(204, None)
