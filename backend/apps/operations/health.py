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
GOOD_FOR_SECONDS = 0.25
"""A success is answered again for so long: anybody may ask, and each check opens a connection."""


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

# The newest run of each check, and when it began by monotonic clock.
_newest: dict[str, tuple[Future[Check], float]] = {}
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
            if name not in _newest or _is_over(*_newest[name], now=started):
                _newest[name] = (_pool().submit(_run, check), started)
        futures = {name: future for name, (future, _) in _newest.items()}
    return {name: _outcome(future, started) for name, future in futures.items()}


def _is_over(future: Future[Check], began: float, *, now: float) -> bool:
    """Whether another run is due: failures are looked at again at once."""
    return future.done() and (now - began > GOOD_FOR_SECONDS or not future.result().ok)


def _run(check: Callable[[], str]) -> Check:
    began = time.monotonic()
    try:
        detail = check()
    except Exception as error:
        detail = type(error).__name__
    return Check(not detail, round((time.monotonic() - began) * 1000, 1), detail)


def _outcome(future: Future[Check], started: float) -> Check:
    waited = time.monotonic() - started
    try:
        return future.result(timeout=max(TIMEOUT_SECONDS - waited, 0))
    except FutureTimeout:
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        return Check(False, milliseconds, f"no answer within {TIMEOUT_SECONDS:g} s")
