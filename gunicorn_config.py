"""Gunicorn: how many, how long, and what it says. Values come through the contract."""

import logging
import os
import sys
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

sys.path.insert(0, str(Path(__file__).resolve().parent / "backend"))

from config import contract
from config.logs import logging_config

MOST_WORKERS = 4
"""More would not fit into the container's memory, and two cores would not serve them."""

try:
    env = contract.load(os.environ, "web")
except contract.ContractError as error:
    print(error, file=sys.stderr)
    sys.exit(contract.EX_CONFIG)

_asked_for = env.integer("WEB_CONCURRENCY" if env.given("WEB_CONCURRENCY") else "GUNICORN_WORKERS")

bind = env.string("GUNICORN_BIND")
worker_class = "gthread"
workers = min(_asked_for, MOST_WORKERS)
threads = env.integer("GUNICORN_THREADS")
preload_app = True  # one copy of the code in memory for all workers
keepalive = 75  # longer than nginx keeps an idle upstream connection, so nginx closes first
timeout = 30  # a worker whose main loop stands still; a request is bounded by its own calls
graceful_timeout = 30
max_requests = 10_000  # recycles what leaks
max_requests_jitter = 2_000  # not all at once
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # heartbeats never touch a disk
control_socket_disable = True  # it wants a writable home, and there is none
accesslog = "-"
logconfig_dict = logging_config(
    level=env.string("LOG_LEVEL"),
    json=os.environ.get("DJANGO_SETTINGS_MODULE") == contract.PRODUCTION,
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


def on_starting(server: Any) -> None:
    if _asked_for > MOST_WORKERS:
        server.log.warning("%d workers asked for, %d started", _asked_for, MOST_WORKERS)


def post_fork(server: Any, worker: Any) -> None:
    """No worker may share a connection that was opened before the fork."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.close()
        connection.close_pool()
    if env.given("DEBUGPY_PORT"):
        import debugpy

        debugpy.listen(("0.0.0.0", env.integer("DEBUGPY_PORT")))
