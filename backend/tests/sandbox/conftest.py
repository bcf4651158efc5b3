"""A sandbox of one's own for every test."""

import threading
from collections.abc import Iterator

import httpx
import pytest

from sandbox.server import Sandbox


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with Sandbox("127.0.0.1", 0) as sandbox:
        thread = threading.Thread(target=sandbox.serve_forever, args=(0.02,))
        thread.start()
        with httpx.Client(base_url=sandbox.url, timeout=5, trust_env=False) as client:
            yield client
        sandbox.shutdown()
        thread.join()
