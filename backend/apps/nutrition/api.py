"""The diary over HTTP."""

import re
from datetime import date
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Path, Router
from pydantic import BeforeValidator

from apps.accounts.tokens import bearer, user_of
from apps.nutrition.queries import get_day
from apps.nutrition.schemas import DayOut
from config.problems import ProblemOut

router = Router(auth=bearer)

EARLIEST, LATEST = date(1970, 1, 1), date(2199, 12, 31)


def _calendar_date(value: Any) -> Any:
    """Refuse what pydantic would also read as a date: Unix timestamps, midnights."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", str(value)):
        raise ValueError("takes YYYY-MM-DD")
    return value


DiaryDate = Annotated[
    date,
    BeforeValidator(_calendar_date),
    Path(ge=EARLIEST, le=LATEST, description="YYYY-MM-DD"),
]


@router.get(
    "/{date}",
    response={200: DayOut, 401: ProblemOut, 422: ProblemOut},
    summary="A day: its meals and what they come to",
)
def show_day(request: HttpRequest, date: DiaryDate) -> DayOut:
    """The day is the user's: between two midnights of their time zone."""
    return DayOut.of(get_day(user=user_of(request), day=date))
