"""Types that several apps' APIs speak of."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any

from django.utils.translation import gettext as _
from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

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


@dataclass(frozen=True)
class Between:
    """A JSON number within bounds, rounded to so many places; no text that spells one."""

    least: str
    most: str
    places: int = 2

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        bounded = core_schema.decimal_schema(ge=Decimal(self.least), le=Decimal(self.most))
        rounded = core_schema.no_info_after_validator_function(self._round, bounded)
        return core_schema.no_info_before_validator_function(is_number, rounded)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "number", "minimum": float(self.least), "maximum": float(self.most)}

    def _round(self, number: Decimal) -> Decimal:
        return number.quantize(Decimal(1).scaleb(-self.places), ROUND_HALF_UP)


def is_number(value: Any) -> Any:
    """Refuse what pydantic would also read as a number: texts, truth. A BeforeValidator."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(_("Takes a number"))
    return value
