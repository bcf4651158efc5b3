"""People who use the API, and the server they use it through.

Loaded as a plugin before Django is configured: its parts are imported where they are used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest

from sandbox.embedded import free_port
from tests.processes import ROOT, Process, Spawn, wait_for

if TYPE_CHECKING:
    from django.test import Client

    from apps.accounts.models import User
    from apps.accounts.tokens import Tokens

T = TypeVar("T")

_telegram_ids = count(1000)


def make_user(**fields: Any) -> User:
    """A person with a Telegram id of their own."""
    from apps.accounts.services import get_or_create_user

    user = get_or_create_user(telegram_id=next(_telegram_ids))
    for name, value in fields.items():
        setattr(user, name, value)
    user.save()
    return user


def log_in(user: User) -> Tokens:
    """What a new login of the user gets."""
    from apps.accounts.services import open_session
    from apps.accounts.tokens import issue_tokens

    return issue_tokens(open_session(user=user))


def client_of(user: User) -> Client:
    """A client that is logged in as the user."""
    from django.test import Client

    return Client(headers={"Authorization": f"Bearer {log_in(user).access}"})


@pytest.fixture
def user(db: None) -> User:
    return make_user()


@pytest.fixture
def eater(user: User) -> Client:
    """The client of `user`."""
    return client_of(user)


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The body of the answer, which must be this problem."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["type"], body["status"], body["code"]) == ("about:blank", status, code)
    assert body["title"]
    return body


def at_once(times: int, call: Callable[[], T]) -> list[T]:
    """Call from as many threads at the same moment; what each got."""
    from django.db import connections

    barrier = Barrier(times)

    def run() -> T:
        try:
            barrier.wait(10)
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(times) as pool:
        return [future.result(60) for future in [pool.submit(run) for _ in range(times)]]


StartServer = Callable[..., tuple[Process, httpx.Client]]


@pytest.fixture
def start_server(spawn: Spawn, transactional_db: None) -> Iterator[StartServer]:
    """Start Gunicorn with production's settings on the test database; and a client of it."""
    from django.db import connection

    clients: list[httpx.Client] = []

    def start(
        *, workers: int = 1, threads: int = 4, **environment: str
    ) -> tuple[Process, httpx.Client]:
        address = f"127.0.0.1:{free_port()}"
        process = spawn(
            *(sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn_config.py")),
            "config.wsgi:application",
            DJANGO_SETTINGS_MODULE="config.settings.production",
            POSTGRES_DB=connection.settings_dict["NAME"],
            GUNICORN_BIND=address,
            GUNICORN_WORKERS=str(workers),
            GUNICORN_THREADS=str(threads),
            **environment,
        )
        client = httpx.Client(base_url=f"http://{address}", timeout=10, trust_env=False)
        clients.append(client)

        def serves() -> bool:
            if process.popen.poll() is not None:
                pytest.fail(process.output())
            try:
                return client.get("/health/live/").status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

        wait_for(serves, "Gunicorn serves")
        return process, client

    yield start
    for client in clients:
        client.close()
