"""Types that several apps' APIs speak of."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from django.utils.translation import gettext as _
from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

EARLIEST, LATEST = date(1970, 1, 1), date(2199, 12, 31)
"""The days that the calendar of this service has."""

# Sums are made in Decimal; two places survive a double unharmed, and clients want numbers.
Amount = Annotated[Decimal, PlainSerializer(float, return_type=float)]


def _calendar_date(value: Any) -> Any:
    """Refuse what pydantic would also read as a date: Unix timestamps, midnights."""
    if not isinstance(value, date) and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", str(value)):
        raise ValueError(_("Takes a day written YYYY-MM-DD"))
    return value


def _within_the_calendar(day: date) -> date:
    if not EARLIEST <= day <= LATEST:
        raise ValueError(_("Takes a day of the years 1970 to 2199"))
    return day


CalendarDate = Annotated[
    date,
    BeforeValidator(_calendar_date),
    AfterValidator(_within_the_calendar),
    # JSON Schema has no bounds for dates.
    WithJsonSchema({"type": "string", "format": "date", "pattern": "^(19[7-9]|20|21)"}),
]
"""A day that this service knows, written YYYY-MM-DD."""


def _number(value: Any) -> Any:
    """Refuse what pydantic would also read as a number: texts, truth."""
    if isinstance(value, str | bool):
        raise ValueError(_("Takes a number"))
    return value


JsonNumber = Annotated[Decimal, BeforeValidator(_number)]
"""A number as JSON writes one, kept as a Decimal."""
