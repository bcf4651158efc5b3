"""Time and money as docs/BILLING.md writes them down."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.billing.arithmetic import (
    DAY,
    add_months,
    calendar_month,
    credited_days,
    local,
    month_around,
    refunded_time,
    unused_value,
)
from apps.billing.reasons import Help, help_for
from apps.billing.receipts import NotAContact, read_contact

moments = st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
kopecks = st.integers(100, 10_000_000).map(lambda number: Decimal(number) / 100)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("begins", "months", "day", "ends"),
    [
        ("2026-01-31T12:00+03:00", 1, None, "2026-02-28T12:00+03:00"),
        ("2028-01-31T12:00+03:00", 1, None, "2028-02-29T12:00+03:00"),
        ("2026-02-28T12:00+03:00", 1, 31, "2026-03-31T12:00+03:00"),
        ("2026-03-31T12:00+03:00", 1, 31, "2026-04-30T12:00+03:00"),
        ("2026-12-31T23:59+03:00", 1, None, "2027-01-31T23:59+03:00"),
        ("2028-02-29T00:00+03:00", 12, None, "2029-02-28T00:00+03:00"),
        # It is the first already in Moscow.
        ("2026-01-31T22:00+00:00", 1, None, "2026-02-28T22:00+00:00"),
    ],
)
def test_months_end_where_the_calendar_says(
    begins: str, months: int, day: int | None, ends: str
) -> None:
    assert add_months(at(begins), months, day=day) == at(ends)


@given(begins=moments, months=st.integers(1, 24))
def test_a_day_of_the_month_comes_back(begins: datetime, months: int) -> None:
    moment, day = begins, local(begins).day
    for _ in range(months):
        moment = add_months(moment, 1, day=day)
    assert moment == add_months(begins, months)
    assert local(moment).time() == local(begins).time()


@given(moment=moments, begins=moments)
def test_every_moment_lies_in_one_month(moment: datetime, begins: datetime) -> None:
    first, last = month_around(moment, begins)
    assert first <= moment < last
    first, last = calendar_month(moment)
    assert first <= moment < last


def test_the_example_of_the_document() -> None:
    begins, ends = at("2026-01-01T00:00+03:00"), at("2026-02-01T00:00+03:00")
    now = at("2026-01-17T00:00+03:00")
    credit = unused_value(value=Decimal("299.00"), begins=begins, ends=ends, now=now)
    assert credit == Decimal("144.68")
    days = credited_days(credit=credit, price=Decimal("2990.00"), length=365 * DAY)
    assert days == 18 * DAY


@given(value=kopecks, begins=moments, seconds=st.integers(1, 10**8), share=st.floats(0, 1))
def test_what_is_unused_and_what_is_used_are_the_whole(
    value: Decimal, begins: datetime, seconds: int, share: float
) -> None:
    ends = begins + timedelta(seconds=seconds)
    now = begins + (ends - begins) * share
    unused = unused_value(value=value, begins=begins, ends=ends, now=now)
    assert 0 <= unused <= value
    assert unused == unused.quantize(Decimal("0.01"))
    assert unused_value(value=value, begins=begins, ends=ends, now=begins) == value
    assert unused_value(value=value, begins=begins, ends=ends, now=ends) == 0


@given(value=kopecks, part=st.integers(0, 100), days=st.integers(1, 400))
def test_parts_given_back_take_no_more_time_than_there_is(
    value: Decimal, part: int, days: int
) -> None:
    taken = (value * part / 100).quantize(Decimal("0.01"))
    cut = refunded_time(taken=taken, value=value, length=days * DAY)
    assert timedelta() <= cut <= days * DAY
    assert refunded_time(taken=value, value=value, length=days * DAY) == days * DAY


@given(credit=kopecks, price=kopecks)
def test_a_credit_is_rounded_up_to_a_day(credit: Decimal, price: Decimal) -> None:
    days = credited_days(credit=credit, price=price, length=30 * DAY) // DAY
    assert days - 1 < credit * 30 / price <= days


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        ("insufficient_funds", Help.LATER),
        ("card_expired", Help.ANOTHER_METHOD),
        ("refused", Help.ANOTHER_METHOD),
        ("expired_on_confirmation", Help.GIVEN_UP),
        ("a reason of tomorrow", Help.LATER),
        ("", Help.LATER),
    ],
)
def test_reasons_are_sorted(reason: str, what: Help) -> None:
    assert help_for(reason) is what


@pytest.mark.parametrize(
    ("text", "contact"),
    [
        ("anna@example.com", "anna@example.com"),
        (" anna@example.com ", "anna@example.com"),
        ("+7 (900) 123-45-67", "79001234567"),
        ("89001234567", "89001234567"),
    ],
)
def test_a_receipt_goes_to_an_address_or_a_phone(text: str, contact: str) -> None:
    assert read_contact(text) == contact


@pytest.mark.parametrize("text", ["anna", "anna@", "@example.com", "a b@c.de", "12345", "x" * 300])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(NotAContact):
        read_contact(text)
