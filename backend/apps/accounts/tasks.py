"""Celery in."""

from celery import shared_task

from apps.accounts import services
from apps.accounts.models import Deletion, Export
from apps.jobs.worker import run_job


@shared_task
def export_account(pk: str) -> None:
    run_job(Export, pk, services.export_account)


@shared_task
def delete_account(pk: str) -> None:
    run_job(Deletion, pk, services.delete_account)
