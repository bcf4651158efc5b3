"""What the tests ask of the sandbox."""

import base64
import json
from typing import Any

import httpx

COMPLETIONS = "/openrouter/api/v1/chat/completions"
BEARER = {"Authorization": "Bearer sk-or-very-secret"}
PICTURE = b"\xff\xd8 not much of a photo"


def asking(*content: dict[str, Any] | str) -> dict[str, Any]:
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    return {"model": "some/model", "messages": [{"role": "user", "content": parts}]}


def picture(data: bytes = PICTURE) -> dict[str, Any]:
    url = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def complete(client: httpx.Client, *content: dict[str, Any] | str) -> httpx.Response:
    body = asking(*(content or ("soup 300 g",)))
    return client.post(COMPLETIONS, json=body, headers=BEARER)


def plate(answer: httpx.Response) -> dict[str, Any]:
    plate: dict[str, Any] = json.loads(answer.json()["choices"][0]["message"]["content"])
    return plate


def order(client: httpx.Client, kind: str, service: str = "openrouter", **more: Any) -> None:
    answer = client.post("/_faults", json={"service": service, "kind": kind, **more})
    assert answer.status_code == 201, answer.text


def log(client: httpx.Client, service: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = client.get(f"/_log?service={service}").json()["entries"]
    return entries
