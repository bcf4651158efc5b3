"""A service that only counts: tests of durable jobs see here what really happened outside."""

from collections import Counter
from typing import Any

from sandbox.faults import LONGEST_WAIT
from sandbox.service import Refused, Reply, Request, Route, Service, number

HOLD = number(0, LONGEST_WAIT)


def build_service() -> Service:
    return Service(name="effects", routes=(Route("POST", r"/(?P<effect>[\w.-]+)", _happen),))


def count_effects(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How often each effect was asked for under each key, from entries of this service's log."""
    counts = Counter(
        (entry["path"].removeprefix("/effects/"), entry["headers"]["idempotency-key"])
        for entry in entries
        if entry["method"] == "POST" and "idempotency-key" in entry["headers"]
    )
    return [{"name": name, "key": key, "times": times} for (name, key), times in counts.items()]


def _happen(request: Request) -> Reply:
    """Receiving it is the effect: `hold` seconds pass only before the answer."""
    key = request.headers.get("idempotency-key")
    if not key:
        raise Refused(400, "an effect needs the header Idempotency-Key")
    hold = request.json().get("hold", 0) if request.body else 0
    if not HOLD.accepts(hold):
        raise Refused(400, f"hold takes {HOLD.meaning}")
    return Reply(body={"name": request.arguments["effect"], "key": key}, delay=hold)
