"""Redis, as requests and jobs meet it: the doorbell that tells a worker to look at a row.

Redis may be away, frozen or empty at any moment. Whoever found it so falls silent for all of
this process, so that the requests of the next seconds do without it instead of waiting.
"""

import logging
import time
from datetime import timedelta
from functools import cache

import redis
from celery import current_app
from django.conf import settings
from kombu import Connection
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import producers
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.jobs.models import Job

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 1.0
"""A request may ring: it must not wait for Redis as long as a worker may."""

QUIET_SECONDS = 5.0
MARKER = "eatfit24:rung"

_silent_until = 0.0


def ring(job: Job, after: timedelta = timedelta()) -> bool:
    """Send the job's message, to be heard after so long; a worker holds it until then.

    A broker that is away is logged, never raised: the sweep rings.

    After a failure nothing is sent for 5 s, so that a frozen Redis costs the requests of
    those seconds one time-out and not one each.
    """
    if is_silent():
        return False
    try:
        with producers[_connection()].acquire(block=True, timeout=TIMEOUT_SECONDS) as producer:
            current_app.send_task(
                job.task,
                args=[str(job.pk)],
                countdown=after.total_seconds() or None,
                producer=producer,
                ignore_result=True,  # else the result backend is subscribed to, and waited for
                # Once more at once: a kept connection may be one that Redis has closed.
                retry=True,
                retry_policy={"max_retries": 1, "interval_start": 0},
                **job.message_options(),
            )
    except (OperationalError, LimitExceeded, redis.RedisError, OSError) as error:
        fall_silent()
        logger.warning("broker away, the sweep will ring", extra={"error": str(error)})
        return False
    return True


def is_silent() -> bool:
    """Whether Redis was away a moment ago, and is not to be asked."""
    return time.monotonic() < _silent_until


def fall_silent() -> None:
    """Ask Redis nothing for 5 s."""
    global _silent_until
    _silent_until = time.monotonic() + QUIET_SECONDS


def listen_again() -> None:
    """End the quiet after a failure."""
    global _silent_until
    _silent_until = 0.0


@cache
def _connection() -> Connection:
    usual: Connection = current_app.connection_for_write()
    bounds = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    return usual.clone(transport_options={**usual.transport_options, **bounds})


def has_forgotten() -> bool:
    """Whether Redis was restarted or emptied since `remember`: then no message can be left."""
    return not client().exists(MARKER)


def remember() -> None:
    client().set(MARKER, 1)


@cache
def client() -> redis.Redis:
    """A client of the broker's Redis that waits no longer than 1 s to connect, 1 s for an answer.

    It tries once more at once, but not after a time-out: a kept connection may be one that
    Redis has closed.
    """
    client: redis.Redis = redis.Redis.from_url(
        settings.CELERY_BROKER_URL,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )
    return client
