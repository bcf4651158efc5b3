"""The life of a job, one step at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.jobs import services
from apps.jobs.errors import LeaseLost, NotYet, Permanent, Temporary
from apps.jobs.models import CurrentRelease, Job
from apps.jobs.services import (
    bring_job_forward,
    claim_job,
    dismiss_dead_letter,
    fail_job,
    finishing,
    record_release,
    retry_dead_letter,
    retry_job_later,
    submit_job,
    watch_ends,
)
from apps.jobs.worker import overdue, run_job
from tests.errands.models import Errand

pytestmark = pytest.mark.django_db


def claimed() -> Errand:
    errand = submit_job(job=Errand())
    job = claim_job(model=Errand, pk=errand.pk)
    assert job is not None
    return job


def raising(error: Exception) -> Callable[[Errand], None]:
    def perform(errand: Errand) -> None:
        raise error

    return perform


def stored(errand: Errand) -> Errand:
    return Errand.objects.get(pk=errand.pk)


def test_a_claimed_job_is_not_claimed_again() -> None:
    job = claimed()
    assert claim_job(model=Errand, pk=job.pk) is None
    assert stored(job).attempts == 1


@pytest.mark.django_db(transaction=True)
def test_a_job_that_is_just_being_referred_to_is_claimed() -> None:
    """As by a row with a foreign key to it that is not committed yet."""
    errand = submit_job(job=Errand())
    with ThreadPoolExecutor(1) as another, transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM errands_errand FOR KEY SHARE")
        claim = another.submit(lambda: (claim_job(model=Errand, pk=errand.pk), connection.close()))
        assert claim.result(10)[0] is not None


def test_a_job_whose_time_has_not_come_is_left_alone() -> None:
    errand = submit_job(job=Errand(run_after=Now() + timedelta(minutes=1)))
    assert claim_job(model=Errand, pk=errand.pk) is None


def test_an_expired_lease_is_claimed_and_the_first_outcome_dropped() -> None:
    first = claimed()
    Errand.objects.update(lease_until=Now() - timedelta(seconds=1))
    second = claim_job(model=Errand, pk=first.pk)
    assert second is not None
    assert second.attempts == 2
    before = Errand.objects.values().get(pk=first.pk)
    for late in (
        lambda: fail_job(job=first, code="x", error="x"),
        lambda: retry_job_later(job=first, code="x", error="x"),
        lambda: finishing(first).__enter__(),
    ):
        with pytest.raises(LeaseLost), transaction.atomic():
            late()
    assert Errand.objects.values().get(pk=first.pk) == before
    with finishing(second):
        pass
    assert stored(second).status == Job.Status.DONE


def test_what_is_written_while_finishing_is_undone_with_it() -> None:
    job = claimed()

    def finish_badly() -> None:
        with finishing(job):
            Errand.objects.filter(pk=job.pk).update(result="half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        finish_badly()
    assert (stored(job).status, stored(job).result) == (Job.Status.RUNNING, "")


@pytest.fixture
def ends() -> Iterator[list[tuple[str, bool]]]:
    """How jobs ended, and whether that was said inside the transaction."""
    told: list[tuple[str, bool]] = []

    def note(job: Job) -> None:
        told.append((str(job.status), connection.in_atomic_block))

    watch_ends(Errand, note)
    yield told
    del services._watchers[Errand]


def test_who_waits_for_a_job_is_told_of_its_end_and_of_nothing_before(ends: list[Any]) -> None:
    errand = submit_job(job=Errand())
    run_job(Errand, str(errand.pk), raising(Temporary("down")))
    Errand.objects.update(run_after=Now())
    run_job(Errand, str(errand.pk), raising(NotYet("busy", timedelta())))
    assert ends == []
    run_job(Errand, str(errand.pk), lambda job: None)
    assert ends == [("done", True)]
    errand = submit_job(job=Errand())
    run_job(Errand, str(errand.pk), raising(Permanent("refused")))
    assert ends[1:] == [("failed", True)]
    lost = claimed()
    Errand.objects.filter(pk=lost.pk).update(max_attempts=1, lease_until=Now())
    assert claim_job(model=Errand, pk=lost.pk) is None
    assert ends[2:] == [("failed", True)]


def test_a_job_submitted_for_later_is_done_later() -> None:
    errand = submit_job(job=Errand(), after=timedelta(minutes=1))
    assert claim_job(model=Errand, pk=errand.pk) is None
    row = stored(errand)
    assert row.ring_after == row.run_after, "rung when its time has come"


def test_temporary_faults_are_tried_again_with_growing_pauses_then_fail() -> None:
    errand = submit_job(job=Errand())
    pauses = []
    for _ in range(3):
        run_job(Errand, str(errand.pk), raising(Temporary("provider_down", "502")))
        row = Errand.objects.annotate(left=F("run_after") - Now()).get(pk=errand.pk)
        pauses.append(row.left.total_seconds())
        Errand.objects.update(run_after=Now())
    assert pauses[0] < pauses[1], "exponential"
    row = stored(errand)
    assert (row.status, row.attempts, row.error_code) == (Job.Status.FAILED, 3, "provider_down")


def test_the_provider_may_ask_for_a_longer_pause() -> None:
    errand = submit_job(job=Errand())
    busy = Temporary("busy", after=timedelta(minutes=5))
    run_job(Errand, str(errand.pk), raising(busy))
    row = Errand.objects.annotate(left=F("run_after") - Now()).get(pk=errand.pk)
    assert row.left.total_seconds() > 290
    assert row.ring_after == row.run_after, "rung when its time has come"


def test_permanent_faults_fail_at_once() -> None:
    errand = submit_job(job=Errand())
    run_job(Errand, str(errand.pk), raising(Permanent("refused", "no")))
    assert (stored(errand).status, stored(errand).attempts) == (Job.Status.FAILED, 1)


def test_handing_back_costs_no_attempt_but_still_fences() -> None:
    errand = submit_job(job=Errand())
    for _ in range(10):
        run_job(Errand, str(errand.pk), raising(NotYet("rate_limit", timedelta())))
    row = stored(errand)
    assert (row.status, row.attempts, row.tries_left) == (Job.Status.PENDING, 10, 3)
    for _ in range(3):
        Errand.objects.update(run_after=Now())
        run_job(Errand, str(errand.pk), raising(Temporary("down")))
    assert stored(errand).status == Job.Status.FAILED


def test_a_waiting_job_is_brought_forward_and_never_put_off() -> None:
    errand = submit_job(job=Errand(run_after=Now() + timedelta(hours=1)))
    bring_job_forward(job=errand, after=timedelta(minutes=1))
    sooner = stored(errand)
    assert sooner.run_after - errand.created_at < timedelta(minutes=2)
    bring_job_forward(job=errand, after=timedelta(minutes=5))
    assert stored(errand).run_after == sooner.run_after
    bring_job_forward(job=errand)
    assert claim_job(model=Errand, pk=errand.pk) is not None
    before = Errand.objects.values().get(pk=errand.pk)
    bring_job_forward(job=errand)
    assert Errand.objects.values().get(pk=errand.pk) == before, "it is being done"


def test_a_bug_is_tried_again_and_kept_as_its_name() -> None:
    errand = submit_job(job=Errand())
    run_job(Errand, str(errand.pk), raising(KeyError("boom")))
    row = stored(errand)
    assert (row.status, row.error_code) == (Job.Status.PENDING, "internal_error")
    assert row.last_error == "KeyError: 'boom'"


def test_a_job_that_writes_nothing_is_done_by_returning() -> None:
    errand = submit_job(job=Errand())
    run_job(Errand, str(errand.pk), lambda job: None)
    assert stored(errand).status == Job.Status.DONE
    assert not overdue()


def test_an_overdue_job_is_noticed() -> None:
    errand = submit_job(job=Errand())
    Errand.lease, usual = timedelta(), Errand.lease
    try:
        run_job(Errand, str(errand.pk), lambda job: None if overdue() else pytest.fail("not seen"))
    finally:
        Errand.lease = usual
    assert not overdue()


def test_dead_letters_are_retried_or_dismissed_once_and_by_somebody() -> None:
    job = claimed()
    fail_job(job=job, code="refused", error="no")
    assert dismiss_dead_letter(job=job, by="anna")
    assert not dismiss_dead_letter(job=job, by="boris")
    assert retry_dead_letter(job=job, by="boris")
    assert not retry_dead_letter(job=job, by="boris")
    row = stored(job)
    assert (row.status, row.attempts, row.tries_left) == (Job.Status.PENDING, 1, 3)
    assert row.handled_by == "boris"
    assert claim_job(model=Errand, pk=job.pk) is not None


def test_operators_see_and_retry_dead_letters(capsys: pytest.CaptureFixture[str]) -> None:
    job = claimed()
    fail_job(job=job, code="refused", error="no such card")
    call_command("jobs", "list")
    assert f"{job.pk}  errands.Errand" in capsys.readouterr().out
    call_command("jobs", "retry", str(job.pk), "--by", "anna")
    call_command("jobs", "list")
    assert f"{job.pk}: retry, by anna" in capsys.readouterr().out
    call_command("jobs", "count")
    assert "errands.Errand: 1 pending" in capsys.readouterr().out


def test_machines_see_what_waits_longest_and_what_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def watched() -> tuple[list[int], list[str]]:
        call_command("jobs", "watch")
        lines = capsys.readouterr().out.splitlines()
        waits = [int(line.split()[1]) for line in lines if line.endswith(" errands.Errand")]
        return waits, lines[-1:]

    fail_job(job=claimed(), code="refused", error="no")
    submit_job(job=Errand(), after=timedelta(hours=1))
    running = claimed()
    assert watched() == ([0], ["failed 1 all"])
    due, late = submit_job(job=Errand()), submit_job(job=Errand())
    Errand.objects.filter(pk=due.pk).update(run_after=Now() - timedelta(seconds=100))
    Errand.objects.filter(pk=late.pk).update(run_after=Now() - timedelta(seconds=200))
    assert watched()[0] == [pytest.approx(200, abs=30)]
    Errand.objects.filter(pk=running.pk).update(
        run_after=Now() - timedelta(seconds=900), lease_until=Now() - timedelta(seconds=400)
    )
    assert watched()[0] == [pytest.approx(400, abs=30)], "since its lease ended"


@pytest.mark.parametrize(
    ("current", "own", "claims"),
    [(None, "b", True), ("b", "b", True), ("a", "b", False), ("a", "dev", True)],
)
def test_a_worker_of_another_release_claims_nothing(
    current: str | None, own: str, claims: bool, settings: pytest.FixtureRequest
) -> None:
    if current:
        record_release(release=current)
    settings.RELEASE = own  # type: ignore[attr-defined]
    errand = submit_job(job=Errand())
    before = Errand.objects.values().get(pk=errand.pk)
    assert (claim_job(model=Errand, pk=errand.pk) is not None) == claims
    if not claims:
        assert Errand.objects.values().get(pk=errand.pk) == before


def test_there_is_one_current_release() -> None:
    record_release(release="a")
    record_release(release="b")
    assert [str(row) for row in CurrentRelease.objects.all()] == ["b"]


def test_due_jobs_are_found_by_an_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT id FROM errands_errand WHERE status IN ('pending', 'running') AND "
            "greatest(run_after, lease_until, ring_after) <= now() "
            "ORDER BY greatest(run_after, lease_until, ring_after) LIMIT 500"
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "errands_errand_due" in plan
