"""The diary over HTTP."""

from typing import Annotated

from django.http import HttpRequest
from ninja import Path, Router

from apps.accounts.tokens import user_of
from apps.nutrition.queries import get_day
from apps.nutrition.schemas import DayOut
from config.problems import ProblemOut
from config.schemas import EARLIEST, LATEST, CalendarDate

router = Router()

DiaryDate = Annotated[CalendarDate, Path(ge=EARLIEST, le=LATEST, description="YYYY-MM-DD")]


@router.get(
    "/{date}",
    response={200: DayOut, 401: ProblemOut, 422: ProblemOut},
    summary="A day: its meals and what they come to",
)
def show_day(request: HttpRequest, date: DiaryDate) -> DayOut:
    """The day is the user's: between two midnights of their time zone."""
    return DayOut.of(get_day(user=user_of(request), day=date))
