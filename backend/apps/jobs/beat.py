"""Beat: intervals alone, in memory. It names tasks and imports none."""

from typing import Any

from celery.apps.beat import Beat as CeleryBeat
from celery.beat import Scheduler as CeleryScheduler

from apps.jobs.heartbeat import SECONDS, touch


class Beat(CeleryBeat):
    """Starts without tasks, models and a database, which would double its memory."""

    def init_loader(self) -> None:
        self.app.finalize()


class Scheduler(CeleryScheduler):
    """Beat's schedule in memory, so nothing has to survive a restart."""

    max_interval = SECONDS

    def tick(self, *args: Any, **kwargs: Any) -> float:
        touch()
        return min(float(super().tick(*args, **kwargs)), SECONDS)
