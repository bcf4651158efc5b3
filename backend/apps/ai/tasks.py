"""Celery in."""

from celery import shared_task

from apps.ai.models import Recognition
from apps.ai.services import recognize as recognize_meal
from apps.jobs.worker import run_job


@shared_task
def recognize(pk: str) -> None:
    run_job(Recognition, pk, recognize_meal)
