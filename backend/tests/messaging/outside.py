"""What Telegram's stand-in is asked to do, and what it got."""

from typing import Any

import httpx


def sent(sandbox: str) -> dict[str, Any]:
    """The messages that were accepted, in order, and how fast they came."""
    answer: dict[str, Any] = httpx.get(f"{sandbox}/telegram/_sent", timeout=10).json()
    return answer


def texts(sandbox: str) -> list[str]:
    return [message["text"] for message in sent(sandbox)["messages"]]


def order_fault(sandbox: str, kind: str, **parameters: Any) -> None:
    order = {"service": "telegram", "kind": kind, **parameters}
    assert httpx.post(f"{sandbox}/_faults", json=order, timeout=10).status_code == 201


def clear_faults(sandbox: str) -> None:
    httpx.delete(f"{sandbox}/_faults", timeout=10)


def calls(sandbox: str) -> list[dict[str, Any]]:
    """Every call of the Bot API that arrived, answered or not."""
    entries: list[dict[str, Any]] = httpx.get(
        f"{sandbox}/_log", params={"service": "telegram"}, timeout=10
    ).json()["entries"]
    return entries
