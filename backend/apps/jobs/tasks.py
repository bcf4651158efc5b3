"""Celery in: what beat sends, and this app's own jobs."""

from celery import shared_task

from apps.jobs import periods
from apps.jobs import sweep as sweeping
from apps.jobs.models import Period, Probe
from apps.jobs.worker import run_job


@shared_task
def sweep() -> None:
    sweeping.sweep()


@shared_task
def tick() -> None:
    periods.tick()


@shared_task
def run_period(pk: str) -> None:
    run_job(Period, pk, periods.run_period)


@shared_task
def run_probe(pk: str) -> None:
    run_job(Probe, pk, lambda probe: None)
