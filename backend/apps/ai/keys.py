"""Whether a key opens the model: asked without anything being recognised or paid for."""

import httpx
from django.conf import settings

SECONDS = 20.0


class Untold(Exception):
    """Nobody said whether the key is good."""


def openrouter_believes(key: str) -> bool:
    """Whether OpenRouter knows the key: https://openrouter.ai/docs/api-reference/get-current-key

    Raises Untold.
    """
    status = _ask("GET", f"{settings.OPENROUTER_URL}/key", key)
    if status == httpx.codes.OK:
        return True
    return _refused_by(status)


def proxy_believes(secret: str) -> bool:
    """Whether the deployment's own proxy lets us in. Raises Untold.

    It is asked for a completion of nothing, which whoever gets in is refused for being wrong.
    """
    status = _ask("POST", f"{settings.AI_URL}/chat/completions", secret)
    if status in (httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY):
        return True
    return _refused_by(status)


def _refused_by(status: int) -> bool:
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return False
    raise Untold(f"it answers {status}, which says nothing of the key")


def _ask(verb: str, url: str, key: str) -> int:
    """The status. What httpx raises holds the request, and that the key: it does not leave."""
    headers = {"Authorization": f"Bearer {key}"}
    body: dict[str, str] | None = {} if verb == "POST" else None
    try:
        with httpx.Client(timeout=SECONDS, trust_env=False) as client:
            return client.request(verb, url, json=body, headers=headers).status_code
    except httpx.HTTPError as error:
        failure = type(error).__name__
    raise Untold(f"it does not answer: {failure}")
