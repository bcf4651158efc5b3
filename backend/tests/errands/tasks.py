import os
import signal

import httpx
from celery import shared_task

from apps.jobs.services import finishing
from apps.jobs.worker import run_job
from tests.errands.models import Errand


def perform(errand: Errand) -> None:
    if errand.kills_worker:
        os.kill(os.getpid(), signal.SIGKILL)
    response = httpx.post(
        f"{os.environ['SANDBOX_URL']}/effects/errand",
        headers={"Idempotency-Key": str(errand.pk)},
        json={"hold": errand.hold, "attempt": errand.attempts},
        timeout=60,
    )
    response.raise_for_status()
    with finishing(errand):
        Errand.objects.filter(pk=errand.pk).update(result=f"attempt {errand.attempts}")


@shared_task
def run_errand(pk: str) -> None:
    run_job(Errand, pk, perform)
