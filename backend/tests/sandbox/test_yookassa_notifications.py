"""Notifications of YooKassa's stand-in: once, twice, late, reversed, forged, or not at all."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from sandbox.in_process import InProcess
from sandbox.world import World
from sandbox.yookassa import YooKassa, build_service
from tests.processes import wait_for
from tests.sandbox.yookassa import charge, create, direct, ok, paid, refund, saved_method

ADDRESS = "185.71.76.1"


class Receiver(ThreadingHTTPServer):
    """Writes down what it is told, and answers `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        self.status = 200
        self.told: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/notifications"

    def names(self) -> list[tuple[str, str]]:
        return [(body["event"], body["object"]["id"]) for body in self.told]


class ReceiverHandler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers.append(dict(self.headers))
        self.server.told.append(body)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.02,))
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


def leave(client: httpx.Client, receiver: Receiver, **way: Any) -> None:
    direct(client, "_notifications", url=receiver.url, **way)


def waiting(client: httpx.Client) -> int:
    return len(ok(client.get("/yookassa/_notifications"))["waiting"])


def answered(client: httpx.Client) -> list[int]:
    sent = ok(client.get("/yookassa/_notifications"))["sent"]
    return [line["answered"] for line in sent]


def test_of_all_that_ends_but_a_canceled_refund(client: httpx.Client, receiver: Receiver) -> None:
    leave(client, receiver, headers={"X-Forwarded-For": ADDRESS})
    payment = paid(client)
    wait_for(lambda: receiver.told, "the first notification")
    first = receiver.told[0]
    assert (first["type"], first["event"]) == ("notification", "payment.succeeded")
    assert first["object"] == payment
    assert receiver.headers[0]["X-Forwarded-For"] == ADDRESS
    declined = direct(client, f"_decline/{create(client)['id']}", reason="general_decline")
    waits = paid(client, capture=None)
    direct(client, "_refunds", reason="general_decline")
    ok(refund(client, payment["id"], "1.00"))
    direct(client, "_refunds")
    refunded = ok(refund(client, payment["id"], "1.00"))
    expired = create(client)
    direct(client, "_clock", seconds=3600)
    wait_for(lambda: len(receiver.told) == 5, "all of them")
    assert receiver.names() == [
        ("payment.succeeded", payment["id"]),
        ("payment.canceled", declined["id"]),
        ("payment.waiting_for_capture", waits["id"]),
        ("refund.succeeded", refunded["id"]),
        ("payment.canceled", expired["id"]),
    ]


def test_of_charges(client: httpx.Client, receiver: Receiver) -> None:
    method = saved_method(client)
    leave(client, receiver)
    payment = charge(client, method)
    wait_for(lambda: receiver.names() == [("payment.succeeded", payment["id"])], "it")


def test_twice(client: httpx.Client, receiver: Receiver) -> None:
    leave(client, receiver, times=2)
    payment = paid(client)
    wait_for(lambda: receiver.names() == [("payment.succeeded", payment["id"])] * 2, "both")


def test_late(client: httpx.Client, receiver: Receiver) -> None:
    leave(client, receiver, mode="hold")
    payment = paid(client)
    direct(client, "_clock", seconds=3600)
    assert receiver.told == []
    sent = direct(client, "_flush")["sent"]
    assert sent == [{"event": "payment.succeeded", "id": payment["id"], "answered": 200}]
    assert receiver.names() == [("payment.succeeded", payment["id"])]
    assert direct(client, "_flush") == {"sent": []}


def test_reversed(client: httpx.Client, receiver: Receiver) -> None:
    leave(client, receiver, mode="hold")
    payment = paid(client)
    ok(refund(client, payment["id"], "1.00"))
    direct(client, "_flush", order="reversed")
    assert [event for event, _ in receiver.names()] == ["refund.succeeded", "payment.succeeded"]


def test_many_at_once_each_twice_and_shuffled(client: httpx.Client, receiver: Receiver) -> None:
    leave(client, receiver, mode="hold")
    made = [paid(client)["id"] for _ in range(40)]
    sent = direct(client, "_flush", order="shuffled", times=2, senders=8)["sent"]
    assert {line["answered"] for line in sent} == {200}
    told = [identifier for _, identifier in receiver.names()]
    assert sorted(told) == sorted(made * 2)
    assert told != made * 2


def test_without_a_socket() -> None:
    told: list[str] = []

    def take(body: Mapping[str, Any]) -> int:
        told.append(body["object"]["id"])
        return 500 if len(told) == 1 else 200

    till = YooKassa(deliver=take)
    world = World([lambda: build_service(till)])
    with httpx.Client(transport=InProcess(world), base_url="http://sandbox") as shop:
        direct(shop, "_notifications", mode="hold")
        payment = paid(shop)["id"]
        assert told == []
        assert [line["answered"] for line in direct(shop, "_flush")["sent"]] == [500]
        assert [line["answered"] for line in direct(shop, "_flush")["sent"]] == [200]
        assert waiting(shop) == 0
    assert told == [payment, payment]


def test_not_at_all(client: httpx.Client, receiver: Receiver) -> None:
    leave(client, receiver, mode="drop")
    paid(client)
    leave(client, receiver, mode="hold")
    assert direct(client, "_flush") == {"sent": []}
    assert receiver.told == []


def test_forged(client: httpx.Client, receiver: Receiver) -> None:
    leave(client, receiver, mode="drop")
    payment = create(client)
    lie = payment | {"status": "succeeded", "paid": True}
    assert direct(client, "_forge", event="payment.succeeded", object=lie) == {"answered": 200}
    assert receiver.told == [{"type": "notification", "event": "payment.succeeded", "object": lie}]


def test_sent_again_for_a_day_until_answered(client: httpx.Client, receiver: Receiver) -> None:
    receiver.status = 503
    leave(client, receiver)
    paid(client)
    for tries in range(1, 4):
        wait_for(lambda: answered(client) == [503] * tries, "a try")  # noqa: B023
        assert waiting(client) == 1
        direct(client, "_clock", seconds=3600)
    wait_for(lambda: answered(client) == [503] * 4, "the last failure")
    receiver.status = 200
    direct(client, "_clock", seconds=3600)
    wait_for(lambda: answered(client) == [503] * 4 + [200], "success")
    assert waiting(client) == 0


def test_given_up_after_a_day(client: httpx.Client, receiver: Receiver) -> None:
    receiver.status = 500
    leave(client, receiver)
    paid(client)
    wait_for(lambda: answered(client) == [500], "the first try")
    direct(client, "_clock", seconds=24 * 3600)
    wait_for(lambda: answered(client) == [500, 500], "the last try")
    assert waiting(client) == 0


def test_one_that_nobody_answers_waits_again_once(client: httpx.Client) -> None:
    direct(client, "_notifications", url="http://127.0.0.1:1/", mode="hold")
    payment = paid(client)
    sent = direct(client, "_flush", times=3)["sent"]
    assert sent == [{"event": "payment.succeeded", "id": payment["id"], "answered": 0}] * 3
    assert waiting(client) == 1
