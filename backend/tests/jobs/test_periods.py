"""Nightly and weekly work happens once a period, whoever was down."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db.models.functions import Now

from apps.jobs import periods
from apps.jobs.models import Period, Probe
from apps.jobs.periods import MONDAY, Routine, remove_old_jobs, tick
from apps.jobs.services import submit_job
from apps.jobs.worker import run_job
from tests.http import at_once


def moscow(*parts: int) -> datetime:
    year, month, day, *clock = parts
    return datetime.combine(date(year, month, day), time(*clock), ZoneInfo("Europe/Moscow"))


runs: list[str] = []
NIGHTLY = Routine(name="test.nightly", run=lambda: runs.append("nightly"), at=time(3))
WEEKLY = Routine(name="test.weekly", run=lambda: runs.append("weekly"), at=time(9), weekday=MONDAY)


@pytest.fixture(autouse=True)
def _routines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periods, "_routines", {"test.nightly": NIGHTLY, "test.weekly": WEEKLY})
    runs.clear()


@pytest.mark.parametrize(
    ("now", "nightly", "weekly"),
    [
        # 20 November 2026 is a Friday.
        (moscow(2026, 11, 20, 3, 0), moscow(2026, 11, 20, 3), moscow(2026, 11, 16, 9)),
        (moscow(2026, 11, 20, 2, 59), moscow(2026, 11, 19, 3), moscow(2026, 11, 16, 9)),
        (moscow(2026, 11, 23, 8, 59), moscow(2026, 11, 23, 3), moscow(2026, 11, 16, 9)),
        (moscow(2026, 11, 23, 9, 0), moscow(2026, 11, 23, 3), moscow(2026, 11, 23, 9)),
        (moscow(2027, 1, 1, 0, 0), moscow(2026, 12, 31, 3), moscow(2026, 12, 28, 9)),
    ],
)
def test_when_a_period_began(now: datetime, nightly: datetime, weekly: datetime) -> None:
    assert NIGHTLY.latest_beginning(now.astimezone(UTC)) == nightly
    assert WEEKLY.latest_beginning(now) == weekly


@pytest.mark.django_db
def test_ticks_insert_each_period_once_and_late_ones_are_made_up_for() -> None:
    night = moscow(2026, 11, 20, 3, 20)
    assert tick(night) == 2
    assert tick(night) == 0, "another beat, or the next minute"
    assert tick(night + timedelta(days=10)) == 2, "after ten days' absence once, not ten times"
    names = list(Period.objects.order_by("begins").values_list("name", flat=True))
    assert names.count("test.nightly") == 2
    for period in Period.objects.all():
        run_job(Period, str(period.pk), periods.run_period)
    assert sorted(runs) == ["nightly", "nightly", "weekly", "weekly"]


@pytest.mark.django_db(transaction=True)
def test_many_beats_at_once_begin_a_period_once() -> None:
    night = moscow(2026, 11, 20, 3, 20)
    assert sum(at_once(8, lambda: tick(night))) == 2
    assert Period.objects.count() == 2


@pytest.mark.django_db
def test_a_routine_that_this_release_does_not_have_is_a_dead_letter() -> None:
    period = submit_job(job=Period(name="gone", begins=datetime(2026, 1, 1, tzinfo=UTC)))
    run_job(Period, str(period.pk), periods.run_period)
    assert Period.objects.get().error_code == "unknown_routine"


@pytest.mark.django_db
def test_old_jobs_are_removed_but_not_unhandled_dead_letters() -> None:
    old, recent = Now() - timedelta(days=2), Now() - timedelta(hours=1)
    Probe.objects.create(queue="kept: recent", status="done", finished_at=recent)
    Probe.objects.create(queue="removed", status="done", finished_at=old)
    Probe.objects.create(queue="kept: dead", status="failed", finished_at=old)
    Probe.objects.create(queue="handled", status="failed", finished_at=old, handled_at=old)
    Probe.objects.create(queue="kept: open")
    remove_old_jobs()
    left = Probe.objects.values_list("queue", flat=True)
    assert sorted(left) == ["kept: dead", "kept: open", "kept: recent"]
