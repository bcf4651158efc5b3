"""What a user may have."""

from datetime import datetime

import pytest

from apps.accounts.models import User
from apps.billing.queries import FREE_RECOGNITIONS, allowance_of


@pytest.mark.parametrize(
    ("at", "begins", "ends"),
    [
        ("2026-02-10T12:00+00:00", "2026-02-01T00:00+03:00", "2026-03-01T00:00+03:00"),
        ("2026-12-31T20:59+00:00", "2026-12-01T00:00+03:00", "2027-01-01T00:00+03:00"),
        ("2026-12-31T21:00+00:00", "2027-01-01T00:00+03:00", "2027-02-01T00:00+03:00"),
    ],
)
def test_who_bought_nothing_has_the_free_allowance_of_the_month(
    user: User, at: str, begins: str, ends: str
) -> None:
    allowance = allowance_of(user=user, at=datetime.fromisoformat(at))
    assert (allowance.plan, allowance.recognitions) == ("free", FREE_RECOGNITIONS)
    assert allowance.begins == datetime.fromisoformat(begins)
    assert allowance.ends == datetime.fromisoformat(ends)
