"""A model to ask: the sandbox's OpenRouter, configured as the provider."""

import threading
from collections.abc import Iterator

import httpx
import pytest
from pytest_django import Settings

from sandbox.server import Sandbox

KEY = "sk-or-very-secret"


@pytest.fixture
def outside() -> Iterator[httpx.Client]:
    """The sandbox, to order faults of and to read what it received."""
    with Sandbox("127.0.0.1", 0) as sandbox:
        thread = threading.Thread(target=sandbox.serve_forever, args=(0.02,))
        thread.start()
        with httpx.Client(base_url=sandbox.url, timeout=10, trust_env=False) as client:
            yield client
        sandbox.shutdown()
        thread.join()


@pytest.fixture
def model(outside: httpx.Client, settings: Settings) -> httpx.Client:
    """The sandbox, which is asked for every recognition of this process."""
    settings.AI_PROVIDER = "openrouter"
    settings.AI_URL = f"{outside.base_url}/openrouter/api/v1".replace("//openrouter", "/openrouter")
    settings.AI_KEY = KEY
    settings.AI_MODEL = "first/model"
    settings.AI_FALLBACK_MODEL = ""
    settings.AI_TIMEOUT_SECONDS = 5
    return outside
