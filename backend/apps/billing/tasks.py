"""Celery in."""

from celery import shared_task

from apps.billing import notifications, refunds, settling, subscriptions
from apps.billing.models import Notification, Payment, Refund
from apps.jobs.worker import run_job


@shared_task
def settle_payment(pk: str) -> None:
    run_job(Payment, pk, settling.settle_payment)


@shared_task
def settle_refund(pk: str) -> None:
    run_job(Refund, pk, refunds.settle_refund)


@shared_task
def settle_notification(pk: str) -> None:
    run_job(Notification, pk, notifications.settle_notification)


@shared_task
def turn_subscriptions() -> None:
    subscriptions.turn_subscriptions()
