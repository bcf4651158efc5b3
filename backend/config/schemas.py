"""Types that several apps' APIs speak of."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

EARLIEST, LATEST = date(1970, 1, 1), date(2199, 12, 31)
"""The days that the calendar of this service has."""

# Sums are made in Decimal; two places survive a double unharmed, and clients want numbers.
Amount = Annotated[Decimal, PlainSerializer(float, return_type=float)]


def _calendar_date(value: Any) -> Any:
    """Refuse what pydantic would also read as a date: Unix timestamps, midnights."""
    if not isinstance(value, date) and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", str(value)):
        raise ValueError("takes YYYY-MM-DD")
    return value


CalendarDate = Annotated[date, BeforeValidator(_calendar_date)]
"""Written YYYY-MM-DD. Give it its bounds where it is a parameter: ge=EARLIEST, le=LATEST."""
