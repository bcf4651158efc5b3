import os
import signal
from collections.abc import Callable

import httpx
from celery import shared_task
from django.db import transaction

from apps.jobs.worker import run_job
from tests.errands.models import Errand

leaked: list[bytes] = []


def die_at(point: Errand.Point, errand: Errand) -> None:
    if errand.kill_at == point and errand.attempts <= errand.kills:
        os.kill(os.getpid(), signal.SIGKILL)


def perform(errand: Errand) -> Callable[[], None]:
    die_at(Errand.Point.CLAIMED, errand)
    leaked.append(b"x" * (errand.grows * 1024**2))
    response = httpx.post(
        f"{os.environ['SANDBOX_URL']}/effects/errand",
        headers={"Idempotency-Key": str(errand.pk)},
        json={"hold": errand.hold},
        timeout=60,
    )
    response.raise_for_status()
    die_at(Errand.Point.ANSWERED, errand)

    def write() -> None:
        Errand.objects.filter(pk=errand.pk).update(result=f"attempt {errand.attempts}")
        transaction.on_commit(lambda: die_at(Errand.Point.COMMITTED, errand))

    return write


@shared_task
def run_errand(pk: str) -> None:
    run_job(Errand, pk, perform)
