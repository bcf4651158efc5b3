"""Recognitions over HTTP, as a client sees them, and the worker's part done in this process."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models.functions import Now
from django.test import Client

from apps.ai.models import Recognition
from apps.ai.tasks import recognize

URL = "/api/v1/recognitions"
TEXT = "2 яйца и 150 г риса"


def ask(client: Client, text: Any = TEXT, **headers: str) -> Any:
    return client.post(URL, {"text": text}, content_type="application/json", headers=headers)


def asked(client: Client, text: str = TEXT) -> UUID:
    """The id of a recognition that was accepted and waits."""
    response = ask(client, text)
    assert response.status_code == 202, response.content
    return UUID(response.json()["id"])


def recognized(client: Client, text: str = TEXT) -> UUID:
    """The id of a recognition that is done."""
    pk = asked(client, text)
    recognize(str(pk))
    assert Recognition.objects.get(pk=pk).status == Recognition.Status.DONE
    return pk


def attempt(pk: UUID) -> Recognition:
    """Have the recognition looked at by a worker, as if its pauses were over; the row after it."""
    Recognition.objects.filter(pk=pk).update(run_after=Now() - timedelta(seconds=1))
    recognize(str(pk))
    return Recognition.objects.get(pk=pk)


def settled(pk: UUID) -> Recognition:
    """The recognition at its end, however many attempts that takes."""
    for _ in range(10):
        row = attempt(pk)
        if row.status not in Recognition.OPEN:
            return row
    raise AssertionError(f"still {row.status} ({row.error_code}) after ten attempts")


def quota(client: Client) -> dict[str, Any]:
    response = client.get("/api/v1/quota")
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def used(client: Client) -> tuple[int, int]:
    """What is reserved and spent of the quota, after seeing that it adds up."""
    told = quota(client)
    assert told["left"] == max(told["recognitions"] - told["reserved"] - told["spent"], 0)
    return told["reserved"], told["spent"]


def failed(client: Client) -> UUID:
    """The id of a recognition whose worker died at its last attempt."""
    pk = asked(client)
    Recognition.objects.filter(pk=pk).update(
        status="running", attempts=3, lease_until="2026-01-01T00:00Z"
    )
    recognize(str(pk))
    return pk


def look(client: Client, pk: UUID, **headers: str) -> Any:
    return client.get(f"{URL}/{pk}", headers=headers)


def cancel(client: Client, pk: UUID) -> Any:
    return client.post(f"{URL}/{pk}/cancel")


def accept(client: Client, pk: UUID) -> Any:
    return client.post(f"{URL}/{pk}/accept")
