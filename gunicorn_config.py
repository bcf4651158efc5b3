"""Gunicorn: how many, how long, and what it says. Values come through the contract."""

import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

sys.path.insert(0, str(Path(__file__).resolve().parent / "backend"))

from config import contract
from config.logs import logging_config
from config.memory import memory_limit
from config.variables import PRODUCTION

MOST_WORKERS = 4
"""Threads serve what waits; more processes than this only take memory."""

STOPS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}

MASTER_BYTES, WORKER_BYTES = 120 * 1024**2, 200 * 1024**2
"""Above what was measured under load (docs/RUNTIME.md)."""

try:
    env = contract.load(os.environ, "web")
except contract.ContractError as error:
    print(error, file=sys.stderr)
    sys.exit(contract.EX_CONFIG)

_asked_for = env.integer("WEB_CONCURRENCY" if env.given("WEB_CONCURRENCY") else "GUNICORN_WORKERS")
_limit = memory_limit()
_most = MOST_WORKERS
if _limit is not None:
    _most = max(1, min(_most, (_limit - MASTER_BYTES) // WORKER_BYTES))

bind = env.string("GUNICORN_BIND")
forwarded_allow_ips = ",".join(env.strings("PROXY_NETWORKS"))  # who may say it was HTTPS
worker_class = "gthread"
workers = _asked_for  # held to the cap below, however it was asked for
threads = env.integer("GUNICORN_THREADS")
preload_app = True  # one copy of the code in memory for all workers
keepalive = 5  # nginx opens a connection a request; who keeps one is a check or a developer
timeout = 30  # a worker whose main loop stands still; a request is bounded by its own calls
graceful_timeout = 30
max_requests = 10_000  # recycles what leaks
max_requests_jitter = 2_000  # not all at once
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # heartbeats never touch a disk
control_socket_disable = True  # it wants a writable home, and there is none
accesslog = "-"
logconfig_dict = logging_config(
    level=env.string("LOG_LEVEL"),
    json=os.environ.get("DJANGO_SETTINGS_MODULE") == PRODUCTION,
    release=env.string("RELEASE"),
)

access_log = logging.getLogger("access")
QUIET_PATHS = frozenset({"/health/live/"})


class RequestLogger(Logger):
    """One line a request, with its id and duration; checks of the process are not told."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        if req.path in QUIET_PATHS:
            return
        headers = {name.lower(): value for name, value in resp.headers}
        access_log.info(
            "request",
            extra={
                "request_id": headers.get("x-request-id", ""),
                "method": req.method,
                "path": req.path,
                "status": resp.status_code,
                "bytes": resp.sent,
                "milliseconds": round(request_time.total_seconds() * 1000, 1),
            },
        )


logger_class = RequestLogger


def nworkers_changed(server: Any, new: int, old: int | None) -> None:
    """Hold the cap, whether -w, GUNICORN_CMD_ARGS or SIGTTIN asked for more."""
    if new > _most:
        server._num_workers = _most  # past the property, which would call this again
        server.log.warning(
            "%d workers asked for, %d are the most (%s)",
            new,
            _most,
            "the cap" if _most == MOST_WORKERS else "the container's memory",
        )


def block_stops() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def unblock_stops() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def when_ready(server: Any) -> None:
    """Before the first fork."""
    # What is loaded by now stays: looking through it for garbage would copy it to each worker.
    gc.collect()
    gc.freeze()
    # Until a worker has handlers of its own, its copy of the master's would swallow a stop, and
    # the master would wait for it for as long as it waits at all.
    os.register_at_fork(before=block_stops, after_in_parent=unblock_stops)


def post_worker_init(worker: Any) -> None:
    unblock_stops()


def post_fork(server: Any, worker: Any) -> None:
    """No worker may share a connection that was opened before the fork."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.close()
        connection.close_pool()
    if env.given("DEBUGPY_PORT"):
        import debugpy

        debugpy.listen(("0.0.0.0", env.integer("DEBUGPY_PORT")))
