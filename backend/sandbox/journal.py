"""The log of everything received, for tests to count effects by."""

import base64
import hashlib
import json
import re
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.service import Request

KEPT_ENTRIES = 10_000
SHOWN_HEADERS = (
    "accept-language",
    "content-type",
    "http-referer",
    "idempotence-key",
    "idempotency-key",
    "user-agent",
    "x-request-id",
    "x-title",
)
_TOKEN = re.compile(r"/bot[0-9]+:[^/]+")
_DATA_URL = re.compile(r"data:(?P<media_type>[\w.+/-]+);base64,(?P<data>.*)", re.DOTALL)


@dataclass(kw_only=True)
class Entry:
    """One request. `status` stays None for as long as, and wherever, nothing was answered."""

    number: int
    service: str
    method: str
    path: str
    received_at: str
    headers: Mapping[str, str]
    body: Any
    fault: str | None = None
    status: int | None = None


class Journal:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=KEPT_ENTRIES)
        self._received = 0

    def record(self, *, service: str, request: Request, fault: str | None) -> Entry:
        """Write the request down before it is answered, so that a killed client is seen too."""
        headers = {name: request.headers[name] for name in SHOWN_HEADERS if name in request.headers}
        if "authorization" in request.headers:
            headers["authorization"] = f"{request.headers['authorization'].split(' ')[0]} ***"
        body = _shown_body(request.body)
        with self._lock:
            self._received += 1
            entry = Entry(
                number=self._received,
                service=service,
                method=request.method,
                path=_TOKEN.sub("/bot***", request.path),
                received_at=datetime.now(UTC).isoformat(),
                headers=headers,
                body=body,
                fault=fault,
            )
            self._entries.append(entry)
        return entry

    def entries(self, service: str | None = None) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(entry) for entry in self._entries if service in (None, entry.service)]

    def clear(self, service: str | None = None) -> None:
        with self._lock:
            kept = [entry for entry in self._entries if service not in (None, entry.service)]
            self._entries.clear()
            self._entries.extend(kept)


def _shown_body(body: bytes) -> Any:
    if not body:
        return None
    try:
        return _without_pictures(json.loads(body))
    except ValueError:
        return _fingerprint(body)


def _without_pictures(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_pictures(part) for key, part in value.items()}
        case list():
            return [_without_pictures(part) for part in value]
        case str() if found := _DATA_URL.fullmatch(value):
            try:
                data = base64.b64decode(found["data"], validate=True)
            except ValueError:
                data = found["data"].encode()
            return {"media_type": found["media_type"]} | _fingerprint(data)
        case _:
            return value


def _fingerprint(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "length": len(data)}
