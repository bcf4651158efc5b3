"""Steps of a worker's own: proof of life, and who may consume."""

import logging
import os
import signal
from typing import Any

from celery import bootsteps
from celery.signals import worker_shutting_down
from celery.worker.consumer import Consumer
from django.conf import settings
from django.db import DatabaseError, connection

from apps.jobs import worker as jobs_worker
from apps.jobs.heartbeat import SECONDS, touch
from apps.jobs.services import release_is_current
from config.memory import resident_memory

logger = logging.getLogger(__name__)

BEATS_A_RELEASE_CHECK = 3


class WorkerHeartbeat(bootsteps.StartStopStep):
    """Beats on the consumer's own loop, while it has a connection and consumes."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Consumer, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None
        self._left_queues: list[Any] = []
        self._beats = 0
        # Where even a fresh process is over the alarm, starting again would not help.
        self._outgrows = not _over_the_alarm()
        self._outgrown = False

    def start(self, consumer: Consumer) -> None:
        self._beat(consumer)
        self._timer = consumer.timer.call_repeatedly(SECONDS, self._beat, (consumer,))

    def stop(self, consumer: Consumer) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    shutdown = stop

    def _beat(self, consumer: Consumer) -> None:
        if self._outgrows and (self._outgrown or _over_the_alarm()):
            self._start_again(consumer)
        else:
            self._follow_the_release(consumer)
        if jobs_worker.overdue():
            # A thread cannot be stopped from outside; its row has another worker by now.
            logger.critical("a job outlived its lease, this worker ends itself")
            logging.shutdown()
            os._exit(1)
        if consumer.connection is not None and consumer.task_consumer is not None:
            touch()

    def _start_again(self, consumer: Consumer) -> None:
        """Ends as an operator would end it, once its jobs have ended; Docker starts the next one.

        Until then it beats, so that no health check cuts a long job off.
        """
        if not self._outgrown:
            self._outgrown = True
            self._leave_queues(consumer)
            logger.warning("grown past the memory alarm: taking no more jobs, then starting again")
        if not jobs_worker.under_way():
            self.stop(consumer)  # once: a second signal would cut off what began just now
            os.kill(os.getpid(), signal.SIGTERM)

    def _leave_queues(self, consumer: Consumer) -> None:
        if not self._left_queues:
            self._left_queues = list(consumer.task_consumer.queues)
            for queue in self._left_queues:
                consumer.cancel_task_queue(queue.name)

    def _follow_the_release(self, consumer: Consumer) -> None:
        """A replaced worker takes no messages from its successor; after a roll-back it does."""
        self._beats += 1
        if self._beats % BEATS_A_RELEASE_CHECK or settings.RELEASE == "dev":
            return
        current = self._release_is_current()
        if not current and not self._left_queues:
            self._leave_queues(consumer)
            logger.warning("another release is current: idle until replaced")
        elif current and self._left_queues:
            for queue in self._left_queues:
                consumer.add_task_queue(queue)
            self._left_queues = []
            logger.warning("this release is current again: consuming")

    def _release_is_current(self) -> bool:
        try:
            return release_is_current()
        except DatabaseError:  # the claim asks again
            return not self._left_queues
        finally:
            connection.close()


def _over_the_alarm() -> bool:
    alarm, held = settings.MEMORY_ALARM_MB, resident_memory()
    return alarm is not None and held is not None and held > alarm * 1024**2


@worker_shutting_down.connect
def say_what_is_under_way(how: str, **_: Any) -> None:
    """A warm stop lets these finish; what a cold one cuts off is done again by another."""
    under_way = jobs_worker.under_way()
    logger.info("stopping", extra={"how": how, "jobs_to_finish": under_way})
