"""Celery in."""

from celery import shared_task

from apps.jobs.worker import run_job
from apps.messaging.models import Message
from apps.messaging.services import deliver_message


@shared_task
def deliver(pk: str) -> None:
    run_job(Message, pk, deliver_message)
