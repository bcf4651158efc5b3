"""YooKassa's client on real sockets: time-outs, broken connections, and what is never told."""

import base64
import contextlib
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest

from apps.billing import gateway as g
from apps.billing.yookassa import LARGEST_ANSWER, YooKassa
from sandbox.server import Sandbox
from tests.processes import wait_for
from tests.sandbox.requests import order
from tests.sandbox.yookassa import books

SECRET = "test_very-secret-key"
CREDENTIALS = base64.b64encode(f"100500:{SECRET}".encode()).decode()
SHORT = timedelta(seconds=0.5)
NEW = g.NewPayment(
    amount=Decimal("299.00"),
    description="EatFit24, a month",
    metadata={"payment": "1"},
    return_url="https://eatfit24.example/app/paid",
)


def client_of(url: str) -> YooKassa:
    return YooKassa(shop_id="100500", secret_key=SECRET, url=url)


@pytest.fixture
def sandbox() -> Iterator[httpx.Client]:
    with Sandbox("127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with httpx.Client(base_url=server.url, timeout=5, trust_env=False) as client:
            yield client
        server.shutdown()
        thread.join()


@pytest.fixture
def yookassa(sandbox: httpx.Client) -> YooKassa:
    return client_of(f"{sandbox.base_url}/yookassa/v3")


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[YooKassa]:
    """A client of a server that answers its first caller so."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield client_of(f"http://127.0.0.1:{listener.getsockname()[1]}")
    thread.join()


def test_over_http(sandbox: httpx.Client, yookassa: YooKassa) -> None:
    payment = yookassa.create_payment(NEW, key="1")
    assert payment.confirmation_url.startswith(str(sandbox.base_url))
    assert yookassa.get_payment(payment.id) == payment


@pytest.mark.parametrize("kind", ["timeout", "reset", "cut_off"])
def test_lost_answers(sandbox: httpx.Client, yookassa: YooKassa, kind: str) -> None:
    order(sandbox, kind, "yookassa")
    with pytest.raises(g.Unknown) as caught:
        yookassa.create_payment(NEW, key="1", deadline=SHORT if kind == "timeout" else SHORT * 20)
    assert caught.value.code == ("timeout" if kind == "timeout" else "broken_connection")
    made = yookassa.create_payment(NEW, key="1")
    assert [payment["id"] for payment in books(sandbox)["payments"]] == [made.id]


def test_a_call_given_up_leaves_nothing_behind(sandbox: httpx.Client, yookassa: YooKassa) -> None:
    order(sandbox, "timeout", "yookassa", times=3)
    for _ in range(3):
        with pytest.raises(g.Unknown, match="timeout"):
            yookassa.create_payment(NEW, key="1", deadline=SHORT)
    wait_for(
        lambda: not [thread for thread in threading.enumerate() if thread.name == "yookassa"],
        "the threads of the calls to end",
        seconds=10,
    )


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" "),
    ],
    ids=["headers", "body"],
)
def test_the_deadline_is_of_the_whole_call(head: bytes, drop: bytes) -> None:
    """Something comes every 20 ms, so that no single wait is ever long."""
    seen, ended = threading.Event(), threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(500):
            if seen.wait(0.02):
                return
            connection.sendall(drop)
        ended.set()

    with answering(answer) as yookassa:
        with pytest.raises(g.Unknown, match="timeout"):
            yookassa.create_payment(NEW, key="1", deadline=SHORT)
        seen.set()
    assert not ended.is_set(), "it was the server that ended it"


def test_an_answer_without_end() -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(LARGEST_ANSWER // 65536 + 2):
            connection.sendall(b" " * 65536)
        connection.recv(1)  # until the client has had enough

    with answering(answer) as yookassa, pytest.raises(g.Unknown, match="longer than any"):
        yookassa.get_payment("1")


def test_a_redirect_is_not_followed(sandbox: httpx.Client) -> None:
    def answer(connection: socket.socket) -> None:
        location = f"{sandbox.base_url}/yookassa/v3/payments"
        connection.sendall(
            b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n"
            + f"Location: {location}\r\n\r\n".encode()
        )

    with answering(answer) as yookassa, pytest.raises(g.Unknown, match="status 307"):
        yookassa.create_payment(NEW, key="1")
    assert books(sandbox)["payments"] == []


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid"])
def test_nobody_there(host: str) -> None:
    with pytest.raises(g.Unreachable) as caught:
        client_of(f"http://{host}/v3").create_payment(NEW, key="1")
    assert isinstance(caught.value, g.Unknown)


def test_every_call_has_a_connection_of_its_own(
    monkeypatch: pytest.MonkeyPatch, sandbox: httpx.Client, yookassa: YooKassa
) -> None:
    """One that was kept may be dead, and then nobody knows whether a charge went through."""
    opened: list[object] = []
    accept = Sandbox.get_request
    monkeypatch.setattr(
        Sandbox, "get_request", lambda server: opened.append(server) or accept(server)
    )
    identifier = yookassa.create_payment(NEW, key="1").id
    for _ in range(3):
        yookassa.get_payment(identifier)
    assert len(opened) == 4


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("status", {"status": 400}),
        ("status", {"status": 401}),
        ("status", {"status": 502, "html": "<h1>Bad gateway</h1>"}),
        ("reset", {}),
        ("timeout", {}),
        ("html", {}),
        (None, {}),
    ],
)
def test_neither_log_nor_traceback_tells_the_secret(
    sandbox: httpx.Client,
    yookassa: YooKassa,
    caplog: pytest.LogCaptureFixture,
    kind: str | None,
    more: dict[str, object],
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):  # quieter by our configuration; an operator may change it
        caplog.set_level(logging.DEBUG, logger=name)
    told = ""
    if kind is None:
        told += repr(yookassa.create_payment(NEW, key="1"))
    else:
        order(sandbox, kind, "yookassa", **more)
        with pytest.raises(g.GatewayError) as caught:
            yookassa.create_payment(NEW, key="1", deadline=SHORT)
        error: BaseException | None = caught.value
        while error is not None:
            shown = traceback.TracebackException.from_exception(error, capture_locals=True)
            told += "".join(shown.format()) + repr(error) + repr(vars(error))
            error = error.__cause__ or error.__context__
        assert "create_payment" in told
    told += caplog.text + "".join(repr(vars(record)) for record in caplog.records)
    assert "connect_tcp" in told, "even the chattiest log was looked at"
    assert SECRET not in told
    assert CREDENTIALS not in told
