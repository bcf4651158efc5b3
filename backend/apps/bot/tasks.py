"""Celery in."""

from celery import shared_task

from apps.bot.models import Update
from apps.bot.services import handle_update
from apps.jobs.worker import run_job


@shared_task
def handle(pk: str) -> None:
    run_job(Update, pk, handle_update)
