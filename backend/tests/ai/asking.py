"""Recognitions over HTTP, as a client sees them, and the worker's part done in this process."""

from typing import Any
from uuid import UUID

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


def accept(client: Client, pk: UUID) -> Any:
    return client.post(f"{URL}/{pk}/accept")
