"""Whether this service can do its work: database, schema, Redis. Each answer within 2 s."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from functools import cache

from redis import Redis

from apps.jobs import broker
from apps.operations.schema import missing_migrations, open_connection

TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Check:
    """`detail` says what is wrong in general words: the answer is public."""

    ok: bool
    milliseconds: float
    detail: str = ""


def check_database() -> str:
    with open_connection(connect_timeout=2, statement_timeout="2s") as connection:
        connection.execute("SELECT 1")
    return ""


def check_migrations() -> str:
    with open_connection(connect_timeout=2, statement_timeout="2s") as connection:
        missing = missing_migrations(connection)
    return f"{len(missing)} not applied" if missing else ""


def check_redis() -> str:
    client: Redis = broker.client()
    client.ping()
    return ""


CHECKS: dict[str, Callable[[], str]] = {
    "database": check_database,
    "migrations": check_migrations,
    "redis": check_redis,
}

_under_way: dict[str, Future[str]] = {}
_starting = threading.Lock()


@cache
def _pool() -> ThreadPoolExecutor:
    # Made at the first request, hence after Gunicorn's fork.
    return ThreadPoolExecutor(max_workers=len(CHECKS), thread_name_prefix="health")


def run_checks() -> dict[str, Check]:
    """Run all checks side by side.

    One that hangs is not started again before it has ended: callers see it fail after
    2 s, and no more than one thread a check is ever waiting.
    """
    started = time.monotonic()
    with _starting:
        for name, check in CHECKS.items():
            if name not in _under_way or _under_way[name].done():
                _under_way[name] = _pool().submit(check)
        futures = dict(_under_way)
    return {name: _outcome(future, started) for name, future in futures.items()}


def _outcome(future: Future[str], started: float) -> Check:
    left = started + TIMEOUT_SECONDS - time.monotonic()
    try:
        detail = future.result(timeout=max(left, 0))
    except FutureTimeout:
        detail = f"no answer within {TIMEOUT_SECONDS:g} s"
    except Exception as error:
        detail = type(error).__name__
    return Check(not detail, round((time.monotonic() - started) * 1000, 1), detail)
