"""The profile and the weights over HTTP."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Field, Path, Query, Router, Schema, Status
from pydantic import AfterValidator, BeforeValidator, ConfigDict, JsonValue, WithJsonSchema

from apps.accounts.models import Activity, Goal, User, Weight
from apps.accounts.queries import weight_on, weights_between
from apps.accounts.services import (
    remove_weight,
    set_weight,
    time_zones,
    today_of,
    update_profile,
)
from apps.accounts.tokens import user_of
from config.problems import BODY_PROBLEMS, Problem, ProblemOut
from config.schemas import EARLIEST, Amount, Between, CalendarDate, is_number

router = Router()

YOUNGEST, OLDEST = 10, 120
"""Years between which the formulas for what somebody needs say something."""

EXAMPLE: dict[str, JsonValue] = {
    "sex": "female",
    "birth_year": 1990,
    "height_cm": 168,
    "activity": "light",
    "goal": "lose",
    "time_zone": "Europe/Moscow",
    "language": "ru",
}


def _known_zone(name: str) -> str:
    if name not in time_zones():
        raise ValueError(_("There is no such time zone"))
    return name


def _year_of_the_living(year: int) -> int:
    this_year = timezone.now().year
    if not this_year - OLDEST <= year <= this_year - YOUNGEST:
        raise ValueError(_("Takes the birth year of somebody who is 10 to 120 years old"))
    return year


THIS_YEAR = timezone.now().year
BirthYear = Annotated[
    int,
    BeforeValidator(is_number),
    Field(ge=1900, le=2200),
    AfterValidator(_year_of_the_living),
    # As of the start: what counts is the year of the request.
    WithJsonSchema(
        {"type": "integer", "minimum": THIS_YEAR - OLDEST, "maximum": THIS_YEAR - YOUNGEST}
    ),
]
TimeZone = Annotated[
    str,
    AfterValidator(_known_zone),
    WithJsonSchema({"type": "string", "enum": sorted(time_zones())}),
]
Height = Annotated[Decimal, Between("100", "250", places=1)]
Kilograms = Annotated[Decimal, Between("20", "400")]


class ProfileIn(Schema):
    """What is to be changed; what is not named stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": EXAMPLE})

    sex: Literal["male", "female", ""] = Field("", description="Empty: not said")
    birth_year: BirthYear | None = Field(None, description="Null: not said")
    height_cm: Height | None = Field(None, description="Null: not said")
    activity: Activity = Activity.SEDENTARY
    goal: Goal = Goal.KEEP
    time_zone: TimeZone = Field(
        "Europe/Moscow", max_length=64, description="IANA name; the diary's days are its days"
    )
    language: Literal["ru", "en"] = "ru"


class ProfileOut(Schema):
    model_config = ConfigDict(
        json_schema_extra={"example": {"first_name": "Anna", **EXAMPLE, "weight_kg": 64.5}}
    )

    first_name: str = Field(description="As Telegram says it")
    sex: Literal["male", "female", ""] = Field(description="Empty: not said")
    birth_year: int | None
    height_cm: Amount | None
    weight_kg: Amount | None = Field(description="The latest up to today")
    activity: Activity
    goal: Goal
    time_zone: str
    language: Literal["ru", "en"]

    @classmethod
    def of(cls, user: User) -> "ProfileOut":
        fields = cls.model_fields.keys() - {"weight_kg"}
        weight = weight_on(user=user, day=today_of(user))
        return cls(weight_kg=weight, **{name: getattr(user, name) for name in fields})


class WeightIn(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"kg": 64.5}})

    kg: Kilograms


class WeightOut(Schema):
    model_config = ConfigDict(json_schema_extra={"example": {"date": "2026-11-21", "kg": 64.5}})

    date: date
    kg: Amount

    @classmethod
    def of(cls, weight: Weight) -> "WeightOut":
        return cls(date=weight.date, kg=weight.kg)


class WeightsOut(Schema):
    weights: list[WeightOut] = Field(description="In the order of their days")


Day = Annotated[CalendarDate, Path(description="YYYY-MM-DD")]


@router.get("", response={200: ProfileOut, 401: ProblemOut}, summary="Who am I, as told so far?")
def show_profile(request: HttpRequest) -> ProfileOut:
    """The weight is the latest one up to today, by the calendar of the profile's time zone."""
    return ProfileOut.of(user_of(request))


@router.patch(
    "",
    response={200: ProfileOut, 401: ProblemOut, **BODY_PROBLEMS},
    summary="Change the profile",
)
def change_profile(request: HttpRequest, body: ProfileIn) -> ProfileOut:
    """Sets what the body names and leaves the rest. Targets that follow from the body's data are
    computed anew from today on; earlier days keep theirs."""
    changes = body.model_dump(exclude_unset=True)
    return ProfileOut.of(update_profile(user=user_of(request), changes=changes))


class Span(Schema):
    first: CalendarDate | None = Field(
        None, description="YYYY-MM-DD; a year before the last day if unset"
    )
    last: CalendarDate | None = Field(None, description="YYYY-MM-DD; today if unset")


@router.get(
    "/weights",
    response={200: WeightsOut, 401: ProblemOut, 422: ProblemOut},
    summary="What I weighed",
)
def list_weights(request: HttpRequest, span: Query[Span]) -> WeightsOut:
    """The days from `first` to `last`, both included; one weight a day at most."""
    user = user_of(request)
    last = span.last or today_of(user)
    first = span.first or max(last - timedelta(days=365), EARLIEST)
    weights = weights_between(user=user, first=first, last=last)
    return WeightsOut(weights=[WeightOut.of(weight) for weight in weights])


@router.put(
    "/weights/{date}",
    response={200: WeightOut, 401: ProblemOut, 409: ProblemOut, **BODY_PROBLEMS},
    summary="Say what I weighed on a day",
)
def say_weight(request: HttpRequest, date: Day, body: WeightIn) -> WeightOut:
    """One weight a day: said again, the later word replaces the earlier. A day to come, by the
    calendar of the profile's time zone, is refused as `day_to_come`."""
    user = user_of(request)
    if date > today_of(user):
        raise Problem(409, "day_to_come", _("That day is still to come"))
    return WeightOut.of(set_weight(user=user, day=date, kg=body.kg))


@router.delete(
    "/weights/{date}",
    response={204: None, 401: ProblemOut, 404: ProblemOut, 422: ProblemOut},
    summary="Take back what I said I weighed on a day",
)
def take_back_weight(request: HttpRequest, date: Day) -> Status[None]:
    """Other days keep theirs; a day without a weight is `not_found`."""
    if not remove_weight(user=user_of(request), day=date):
        raise Problem(404, "not_found", _("There is nothing here"))
    return Status(204, None)
