"""Celery: three queues, late acknowledgement, nothing that blocks for ever.

A message is a doorbell: it carries the id of a row and may be lost, doubled or late
without harm (apps.jobs). Everything is configured here and nowhere else, because a
settings value named CELERY_TASK_ROUTES would quietly override the routes.
"""

from functools import cached_property
from logging.config import dictConfig
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from kombu import Exchange, Queue

from config import require_settings_module

require_settings_module()

from django.conf import settings  # noqa: E402 (settings must be named first)

QUEUES = ("ai", "billing", "default")
VISIBILITY_TIMEOUT = 600
"""Seconds after which Redis hands out an unacknowledged message again. One value
everywhere: any worker sweeps the shared index by its own. Above every lease."""

SWEEP_SECONDS = 5
TICK_SECONDS = 60
TURN_SECONDS = 60


class Application(Celery):
    @cached_property
    def Beat(self) -> Any:  # noqa: N802 (Celery's name)
        return self.subclass_with_self("apps.jobs.beat:Beat")


app = Application("eatfit24")
app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    result_backend=settings.CELERY_RESULT_BACKEND,
    # -- what is sent, and where to
    task_queues=[Queue(name, Exchange(name, type="direct"), routing_key=name) for name in QUEUES],
    task_default_queue="default",
    task_default_exchange="default",
    task_default_exchange_type="direct",
    task_default_routing_key="default",
    task_create_missing_queues=False,  # a misspelt queue is an error, not a queue nobody serves
    task_routes={
        "apps.ai.*": {"queue": "ai", "routing_key": "ai"},
        "apps.billing.*": {"queue": "billing", "routing_key": "billing"},
        # The sweep is short and must not wait behind the model: it rides in money's lane.
        "apps.jobs.tasks.sweep": {"queue": "billing", "routing_key": "billing"},
    },
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],  # pickle would let whoever reaches Redis run code here
    task_ignore_result=True,  # the row holds the result
    result_expires=3600,
    # -- when a message is done
    task_acks_late=True,  # with prefetch 1 a busy worker then holds no message that others could do
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,  # the lease guards the job
    # -- the broker may be away at any moment
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # for ever: a worker must never need a hand
    broker_connection_timeout=3,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "unacked_restore_interval": 10,  # look for lost messages every 10 s
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 60,
        "socket_timeout": 5,  # without it a frozen Redis blocks for ever
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
    redis_socket_timeout=5,
    redis_socket_connect_timeout=3,
    redis_retry_on_timeout=False,
    task_publish_retry=False,  # beat sends again soon; jobs ring through apps.jobs.broker
    # -- time
    enable_utc=True,
    timezone="UTC",  # beat has intervals alone; calendars are rows (apps.jobs.periods)
    # -- processes
    worker_pool=settings.CELERY_WORKER_POOL,
    worker_concurrency=settings.CELERY_WORKER_CONCURRENCY,
    # prefork alone has these three; the contract refuses them under threads
    task_time_limit=settings.CELERY_TASK_TIME_LIMIT,
    worker_max_memory_per_child=(settings.CELERY_WORKER_MAX_MEMORY_MB or 0) * 1024 or None,
    worker_max_tasks_per_child=settings.CELERY_WORKER_MAX_TASKS,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_enable_remote_control=True,  # the smoke test asks who consumes what
    beat_scheduler="apps.jobs.beat:Scheduler",
    beat_max_loop_interval=2,  # beat's heartbeat
    beat_schedule={
        "sweep": {
            "task": "apps.jobs.tasks.sweep",
            "schedule": SWEEP_SECONDS,
            "options": {"expires": SWEEP_SECONDS, "ignore_result": True},
        },
        "tick": {
            "task": "apps.jobs.tasks.tick",
            "schedule": TICK_SECONDS,
            "options": {"expires": TICK_SECONDS, "ignore_result": True},
        },
        "turn": {
            "task": "apps.billing.tasks.turn_subscriptions",
            "schedule": TURN_SECONDS,
            "options": {"expires": TURN_SECONDS},
        },
    },
)
app.autodiscover_tasks()
app.steps["consumer"].add("apps.jobs.consumer:WorkerHeartbeat")


@setup_logging.connect
def configure_logging(**_: object) -> None:
    """As Django does, where there is Django; connecting here keeps Celery from doing its own."""
    dictConfig(settings.LOGGING)
