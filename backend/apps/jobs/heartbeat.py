"""Proof of life: a file that a turning loop writes and the health check takes away.

No clocks are compared: the check deletes the file, and only a loop that turns writes it
again. See healthcheck.sh.
"""

import logging
import os
from typing import Any

from celery import bootsteps
from celery.beat import Scheduler as CeleryScheduler
from celery.worker.consumer import Consumer
from django.conf import settings

from apps.jobs import worker as jobs_worker

logger = logging.getLogger(__name__)

SECONDS = 2.0


def touch() -> None:
    """Say that the loop of this process turned."""
    (settings.RUNTIME_DIR / "heartbeat").touch()


class WorkerHeartbeat(bootsteps.StartStopStep):
    """Beats on the consumer's own loop, while it has a connection and consumes."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Consumer, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, consumer: Consumer) -> None:
        self._beat(consumer)
        self._timer = consumer.timer.call_repeatedly(SECONDS, self._beat, (consumer,))

    def stop(self, consumer: Consumer) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    shutdown = stop

    def _beat(self, consumer: Consumer) -> None:
        if jobs_worker.overdue():
            # A thread cannot be stopped from outside; its row has another worker by now.
            logger.critical("a job outlived its lease, this worker ends itself")
            logging.shutdown()
            os._exit(1)
        if consumer.connection is not None and consumer.task_consumer is not None:
            touch()


class Scheduler(CeleryScheduler):
    """Beat's schedule in memory: intervals alone, so nothing has to survive a restart."""

    max_interval = SECONDS

    def tick(self, *args: Any, **kwargs: Any) -> float:
        touch()
        return min(float(super().tick(*args, **kwargs)), SECONDS)
