"""Notifications: made when something ends, sent as ordered, sent again until answered 200."""

import json
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import httpx

KEPT = timedelta(hours=24)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
PATIENCE_SECONDS = 30.0
REMEMBERED = 1000

Deliver = Callable[[Mapping[str, Any]], int]
"""Hands a notification over; returns the status it was answered with, 0 for none."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """How notifications leave: sent at once, held for a flush, or dropped; each so many times."""

    url: str = ""
    headers: Mapping[str, str] | None = None
    mode: str = "send"
    times: int = 1


MODES = ("send", "hold", "drop")
ORDERS = ("made", "reversed", "shuffled")


@dataclass(frozen=True, kw_only=True, eq=False)
class Notice:
    body: Mapping[str, Any]
    made_at: datetime
    due_at: datetime
    attempts: int = 0


class Outbox:
    """`now` is the provider's clock. `deliver` stands in for HTTP where there is none."""

    def __init__(self, now: Callable[[], datetime], deliver: Deliver | None = None) -> None:
        self._now = now
        self._deliver = deliver
        self._changed = threading.Condition()
        self._waiting: list[Notice] = []
        self._under_way: Counter[Notice] = Counter()
        self._sent: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)
        self._http: httpx.Client | None = None
        self._courier: threading.Thread | None = None
        self.way = Way()

    def direct(self, way: Way) -> None:
        """From now on they leave that way; what waits for it, too."""
        with self._changed:
            self.way = way
            self._changed.notify_all()

    def add(self, event: str, about: Mapping[str, Any]) -> None:
        with self._changed:
            if self.way.mode == "drop" or not (self.way.url or self._deliver):
                return
            body = {"type": "notification", "event": event, "object": about}
            now = self._now()
            self._waiting.append(Notice(body=body, made_at=now, due_at=now))
            if self.way.mode == "send":
                self._employ_courier()
                self._changed.notify_all()

    def flush(self, order: str = "made", times: int = 1, senders: int = 1) -> list[dict[str, Any]]:
        """Send all that waits, due or not; what was answered. What got no 200 waits again."""
        with self._changed:
            notices, self._waiting = self._waiting * times, []
            self._under_way.update(notices)
        if order == "reversed":
            notices.reverse()
        elif order == "shuffled":
            random.shuffle(notices)
        return self._send(notices, senders)

    def forge(self, body: Mapping[str, Any]) -> int:
        """Send what nobody made; the status it was answered with."""
        return self._hand_over(body)

    def wake(self) -> None:
        """The clock was set: look what is due."""
        with self._changed:
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self._waiting.clear()
            self._sent.clear()
            self.way = Way()

    def shown(self) -> dict[str, Any]:
        with self._changed:
            return {
                "url": self.way.url,
                "headers": dict(self.way.headers or {}),
                "mode": self.way.mode,
                "times": self.way.times,
                "waiting": [
                    _named(notice.body) for notice in (*self._waiting, *self._under_way.elements())
                ],
                "sent": list(self._sent),
            }

    def _send(self, notices: Iterable[Notice], senders: int) -> list[dict[str, Any]]:
        if senders == 1:
            return [self._send_one(notice) for notice in notices]
        with ThreadPoolExecutor(senders) as pool:
            return list(pool.map(self._send_one, notices))

    def _send_one(self, notice: Notice) -> dict[str, Any]:
        status = self._hand_over(notice.body)
        sent = _named(notice.body) | {"answered": status}
        with self._changed:
            self._sent.append(sent)
            self._under_way[notice] -= 1
            if not self._under_way[notice]:
                del self._under_way[notice]
            pause = min(FIRST_PAUSE * 2 ** min(notice.attempts, 10), LONGEST_PAUSE)
            due_at = self._now() + pause
            waits = any(other.body is notice.body for other in self._waiting)
            if status != 200 and not waits and due_at < notice.made_at + KEPT:
                self._waiting.append(replace(notice, due_at=due_at, attempts=notice.attempts + 1))
        return sent

    def _hand_over(self, body: Mapping[str, Any]) -> int:
        way = self.way
        if not way.url:
            return self._deliver(body) if self._deliver else 0
        if self._http is None:
            self._http = httpx.Client(timeout=PATIENCE_SECONDS, trust_env=False)
        headers = {"Content-Type": "application/json", **(way.headers or {})}
        try:
            content = json.dumps(body, ensure_ascii=False).encode()
            return self._http.post(way.url, content=content, headers=headers).status_code
        except httpx.HTTPError:
            return 0

    def _employ_courier(self) -> None:
        if self._courier is None:
            self._courier = threading.Thread(target=self._carry, name="courier", daemon=True)
            self._courier.start()

    def _carry(self) -> None:
        """Send what is due, for as long as the process lives."""
        while True:
            with self._changed:
                while not (due := self._take_due()):
                    self._changed.wait(self._seconds_to_next())
                due = [notice for notice in due for _ in range(self.way.times)]
                self._under_way.update(due)
            self._send(due, senders=1)

    def _take_due(self) -> list[Notice]:
        if self.way.mode != "send":
            return []
        now = self._now()
        due = [notice for notice in self._waiting if notice.due_at <= now]
        self._waiting = [notice for notice in self._waiting if notice.due_at > now]
        return due

    def _seconds_to_next(self) -> float | None:
        if self.way.mode != "send" or not self._waiting:
            return None
        soonest = min(notice.due_at for notice in self._waiting)
        return max((soonest - self._now()).total_seconds(), 0.001)


def _named(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"event": body["event"], "id": body["object"]["id"]}
