"""The sandbox misbehaves to order, remembers what it received, and stops when told."""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.server import Sandbox
from tests.sandbox.requests import (
    BEARER,
    COMPLETIONS,
    PICTURE,
    asking,
    complete,
    log,
    order,
    picture,
    plate,
)

BACKEND = Path(__file__).resolve().parents[2]


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


class TestFaults:
    def test_status_with_retry_after(self, client: httpx.Client) -> None:
        order(client, "status", status=429, retry_after=7)
        answer = complete(client)
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "7"
        assert answer.json()["error"]["code"] == 429

    def test_status_with_html(self, client: httpx.Client) -> None:
        order(client, "status", status=502, html="<h1>Bad gateway</h1>")
        answer = complete(client)
        assert answer.status_code == 502
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.text == "<h1>Bad gateway</h1>"

    def test_error_in_200(self, client: httpx.Client) -> None:
        order(client, "error_in_200", code=503)
        answer = complete(client)
        assert answer.status_code == 200
        assert answer.json()["error"]["code"] == 503
        assert "choices" not in answer.json()

    def test_cut_off(self, client: httpx.Client) -> None:
        order(client, "cut_off")
        answer = complete(client)
        assert answer.json()["choices"][0]["finish_reason"] == "length"
        with pytest.raises(json.JSONDecodeError):
            plate(answer)

    def test_wrong_schema(self, client: httpx.Client) -> None:
        order(client, "wrong_schema")
        assert "items" not in plate(complete(client))

    def test_drip(self, client: httpx.Client) -> None:
        order(client, "drip", seconds=0.001)
        dripped = complete(client)
        assert dripped.content == complete(client).content

    @pytest.mark.parametrize(
        ("kind", "reason"), [("finish_error", "error"), ("content_filter", "content_filter")]
    )
    def test_finished_otherwise(self, client: httpx.Client, kind: str, reason: str) -> None:
        order(client, kind)
        (choice,) = complete(client).json()["choices"]
        assert (choice["finish_reason"], choice["message"]["content"]) == (reason, "")

    def test_content(self, client: httpx.Client) -> None:
        order(client, "content", content="soup?")
        (choice,) = complete(client).json()["choices"]
        assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", "soup?")

    def test_latency(self, client: httpx.Client) -> None:
        order(client, "latency", seconds=0.3)
        begun = time.monotonic()
        assert complete(client).status_code == 200
        assert time.monotonic() - begun >= 0.3

    def test_timeout(self, client: httpx.Client) -> None:
        order(client, "timeout")
        with pytest.raises(httpx.ReadTimeout):
            client.post(COMPLETIONS, json=asking("soup"), headers=BEARER, timeout=0.3)
        [entry] = log(client, "openrouter")
        assert (entry["fault"], entry["status"]) == ("timeout", None)

    def test_reset(self, client: httpx.Client) -> None:
        order(client, "reset")
        with pytest.raises(httpx.ReadError, match="reset"):
            complete(client)
        [entry] = log(client, "openrouter")
        assert (entry["fault"], entry["status"]) == ("reset", None)

    def test_used_up_in_order(self, client: httpx.Client) -> None:
        order(client, "status", status=503, times=2)
        order(client, "status", status=429)
        assert client.get("/_faults").json()["faults"] == [
            {"service": "openrouter", "kind": "status", "times": 2, "status": 503},
            {"service": "openrouter", "kind": "status", "times": 1, "status": 429},
        ]
        assert [complete(client).status_code for _ in range(4)] == [503, 503, 429, 200]
        assert client.get("/_faults").json() == {"faults": []}

    def test_meets_its_own_service_only(self, client: httpx.Client) -> None:
        order(client, "status", service="effects", status=500)
        assert complete(client).status_code == 200
        assert client.post("/effects/x", headers={"Idempotency-Key": "1"}).status_code == 500

    def test_cleared(self, client: httpx.Client) -> None:
        order(client, "reset", times=5)
        assert client.delete("/_faults").status_code == 204
        assert complete(client).status_code == 200

    @pytest.mark.parametrize(
        ("wish", "said"),
        [
            ({"kind": "reset"}, "openrouter"),
            ({"service": "openrouter", "kind": "flood"}, "wrong_schema"),
            ({"service": "effects", "kind": "cut_off"}, "latency"),
            ({"service": "openrouter", "kind": "reset", "status": 500}, "times"),
            ({"service": "openrouter", "kind": "reset", "times": 0}, "from 1"),
            ({"service": "openrouter", "kind": "reset", "times": True}, "integer"),
            ({"service": "openrouter", "kind": "status"}, "from 400 to 599"),
            ({"service": "openrouter", "kind": "status", "status": 200}, "from 400 to 599"),
            ({"service": "openrouter", "kind": "latency", "seconds": 121}, "from 0 to 120"),
            (
                {"service": "openrouter", "kind": "status", "status": 503, "retry_after": "a\nb"},
                "HTTP date",
            ),
        ],
    )
    def test_bad_orders(self, client: httpx.Client, wish: dict[str, Any], said: str) -> None:
        answer = client.post("/_faults", json=wish)
        assert answer.status_code == 422
        assert said in answer.json()["error"]
        assert client.get("/_faults").json() == {"faults": []}


class TestLog:
    def test_shows_a_request_without_secret_and_picture(self, client: httpx.Client) -> None:
        complete(client, "soup", picture())
        [entry] = log(client, "openrouter")
        assert (entry["method"], entry["path"], entry["status"]) == ("POST", COMPLETIONS, 200)
        assert entry["headers"]["authorization"] == "Bearer ***"
        [text, image] = entry["body"]["messages"][0]["content"]
        assert text["text"] == "soup"
        assert image["image_url"]["url"] == {
            "media_type": "image/jpeg",
            "sha256": hashlib.sha256(PICTURE).hexdigest(),
            "length": len(PICTURE),
        }
        whole = client.get("/_log").text
        assert "secret" not in whole
        assert base64.b64encode(PICTURE).decode() not in whole

    def test_is_written_before_the_answer(self, client: httpx.Client) -> None:
        with pytest.raises(httpx.ReadTimeout):
            client.post(
                "/effects/charge",
                headers={"Idempotency-Key": "k-1"},
                json={"hold": 60},
                timeout=0.2,
            )
        [entry] = log(client, "effects")
        assert entry["headers"]["idempotency-key"] == "k-1"
        assert entry["status"] is None

    def test_of_one_service_is_cleared_alone(self, client: httpx.Client) -> None:
        complete(client)
        client.post("/effects/x", headers={"Idempotency-Key": "1"})
        assert client.delete("/_log?service=effects").status_code == 204
        assert log(client, "effects") == []
        assert len(log(client, "openrouter")) == 1
        assert client.get("/_log?service=nobody").status_code == 422


class TestEffects:
    def test_counted_by_name_and_key(self, client: httpx.Client) -> None:
        for name, key in (("charge", "1"), ("charge", "1"), ("charge", "2"), ("mail", "1")):
            answer = client.post(f"/effects/{name}", headers={"Idempotency-Key": key})
            assert answer.json() == {"name": name, "key": key}
        assert client.get("/_effects").json()["effects"] == [
            {"name": "charge", "key": "1", "times": 2},
            {"name": "charge", "key": "2", "times": 1},
            {"name": "mail", "key": "1", "times": 1},
        ]

    def test_refused_without_key(self, client: httpx.Client) -> None:
        assert client.post("/effects/charge").status_code == 400
        assert client.get("/_effects").json() == {"effects": []}

    def test_hold_delays_the_answer(self, client: httpx.Client) -> None:
        begun = time.monotonic()
        client.post("/effects/x", headers={"Idempotency-Key": "1"}, json={"hold": 0.3})
        assert time.monotonic() - begun >= 0.3


class TestProcess:
    @staticmethod
    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "sandbox", *arguments],
            cwd=BACKEND,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"]},
        )

    @pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
    def test_says_where_and_stops_at_once(self, stop: signal.Signals) -> None:
        process = self.start("--port", "0")
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("sandbox: ").strip()
        with httpx.Client(base_url=url, trust_env=False) as client:
            assert client.get("/_health").status_code == 200
            held = threading.Thread(target=self.hold, args=(url,))
            held.start()
            eventually(lambda: log(client, "effects"))
            process.send_signal(stop)
            out, error = process.communicate(timeout=5)
        held.join()
        assert (process.returncode, out, error) == (0, "", "")

    def test_port_in_use(self) -> None:
        with Sandbox("127.0.0.1", 0) as sandbox:
            port = sandbox.server_address[1]
            out, error = self.start("--port", str(port)).communicate(timeout=5)
        assert out == ""
        assert error.count("\n") == 1
        assert f"cannot listen on 127.0.0.1:{port}" in error

    @staticmethod
    def hold(url: str) -> None:
        with pytest.raises(httpx.HTTPError):
            httpx.post(
                f"{url}/effects/x",
                headers={"Idempotency-Key": "1"},
                json={"hold": 60},
                trust_env=False,
                timeout=30,
            )
