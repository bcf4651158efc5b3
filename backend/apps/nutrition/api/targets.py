"""Targets and statistics over HTTP."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Field, Query, Router, Schema
from pydantic import ConfigDict

from apps.accounts.models import User
from apps.accounts.services import today_of
from apps.accounts.tokens import user_of
from apps.nutrition.api.common import READS, WRITES
from apps.nutrition.queries import get_targets, read_body
from apps.nutrition.schemas import (
    DiaryDate,
    NutrientsOut,
    TargetsOut,
)
from apps.nutrition.services import targets as services
from apps.nutrition.statistics import Statistics, get_statistics
from config.problems import Problem, ProblemOut
from config.schemas import Amount, Between

router = Router()
statistics_router = Router()

LONGEST = 366


class TargetsIn(Schema):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"energy_kcal": 2000, "protein_g": 120, "fat_g": 65, "carbohydrate_g": 235}
            ]
        },
    )
    energy_kcal: Annotated[Decimal, Between("500", "10000")]
    protein_g: Annotated[Decimal, Between("0", "1000")]
    fat_g: Annotated[Decimal, Between("0", "1000")]
    carbohydrate_g: Annotated[Decimal, Between("0", "2000")]


class TargetsOfDay(Schema):
    date: DiaryDate
    targets: TargetsOut | None = Field(description="Null where there are none on that day")
    missing: list[str] = Field(
        description="What the profile lacks for targets; empty where there are some",
        examples=[["weight_kg"]],
    )


def _targets_of(user: User, day: DiaryDate) -> TargetsOfDay:
    targets = get_targets(user=user, day=day)
    missing = [] if targets else read_body(user)[1]
    return TargetsOfDay(date=day, targets=TargetsOut.of(targets), missing=missing)


@router.get("", response={200: TargetsOfDay, **READS}, summary="What is to be eaten on a day")
def show_targets(
    request: HttpRequest, date: Annotated[DiaryDate | None, Query()] = None
) -> TargetsOfDay:
    """Those that held on the day, today by default; a later change of weight changes no past."""
    user = user_of(request)
    return _targets_of(user, date or today_of(user))


@router.put("", response={200: TargetsOfDay, **WRITES}, summary="Set targets by hand")
def set_targets(request: HttpRequest, body: TargetsIn) -> TargetsOfDay:
    """From today on, until they are computed again; changes of the profile leave them alone."""
    user = user_of(request)
    services.set_targets(user=user, **body.dict())
    return _targets_of(user, today_of(user))


@router.delete(
    "",
    response={200: TargetsOfDay, 401: ProblemOut},
    summary="Have targets computed again",
)
def compute_targets(request: HttpRequest) -> TargetsOfDay:
    """From today on, by what the profile says. Days before keep what they had.

    Energy is that of Mifflin and St Jeor (1990) times activity, a fifth less to lose weight, a
    tenth more to gain it, within what is sane for anybody healthy and grown-up.
    """
    user = user_of(request)
    services.compute_targets_again(user=user)
    return _targets_of(user, today_of(user))


class StatisticsDay(Schema):
    date: DiaryDate
    totals: NutrientsOut | None = Field(description="Null where nothing was logged")
    targets: NutrientsOut | None
    weight_kg: Amount | None = Field(examples=[64.5])


def _nutrients(totals: dict[str, Decimal] | None) -> NutrientsOut | None:
    return NutrientsOut(**totals) if totals is not None else None


class StatisticsOut(Schema):
    logged_days: int = Field(examples=[6])
    averages: NutrientsOut | None = Field(description="Per logged day; null without any")
    current_streak: int = Field(
        description="Logged days in a row up to the range's end; a today without a meal yet "
        "breaks none",
        examples=[4],
    )
    longest_streak: int = Field(description="Most logged days in a row", examples=[4])
    weight_kg_per_week: Amount | None = Field(
        description="Slope of the least-squares line; null with fewer than two weights",
        examples=[-0.35],
    )
    days: list[StatisticsDay]

    @classmethod
    def of(cls, statistics: Statistics) -> "StatisticsOut":
        return cls(
            logged_days=statistics.logged_days,
            averages=_nutrients(statistics.averages),
            current_streak=statistics.current_streak,
            longest_streak=statistics.longest_streak,
            weight_kg_per_week=statistics.weight_kg_per_week,
            days=[
                StatisticsDay(
                    date=day.date,
                    totals=_nutrients(day.totals),
                    targets=NutrientsOut.from_orm(day.targets) if day.targets else None,
                    weight_kg=day.weight_kg,
                )
                for day in statistics.days
            ],
        )


@statistics_router.get(
    "",
    response={200: StatisticsOut, **READS},
    summary="A range of days: averages, streaks, the trend of the weight",
)
def show_statistics(
    request: HttpRequest,
    first: Annotated[DiaryDate, Query(alias="from")],
    last: Annotated[DiaryDate, Query(alias="to")],
) -> StatisticsOut:
    """Both days included, at most 366 of them: 422 `bad_range` otherwise. All of it, streaks too,
    is of these days alone."""
    if not timedelta(0) <= last - first < timedelta(days=LONGEST):
        raise Problem(
            422, "bad_range", _("Takes a range of 1 to 366 days, from the earlier to the later")
        )
    return StatisticsOut.of(get_statistics(user=user_of(request), first=first, last=last))
