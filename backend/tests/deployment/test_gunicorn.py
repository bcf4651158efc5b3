"""Gunicorn through the entrypoint: how many, what it says, how it stops, when it is ended."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.embedded import free_port
from tests.deployment.conftest import Start, check_health
from tests.processes import ROOT, Process, wait_for

COMMAND = ("gunicorn", "config.wsgi:application")

Serve = Callable[..., tuple[Process, str]]


@pytest.fixture
def serve(enter: Start, migrated_database: str) -> Iterator[Serve]:
    """Start it on a free port; returns the process and its address once it answers."""
    started: list[Process] = []

    def start(**environment: str) -> tuple[Process, str]:
        bind = f"127.0.0.1:{free_port()}"
        process = enter(*COMMAND, POSTGRES_DB=migrated_database, GUNICORN_BIND=bind, **environment)
        started.append(process)

        def answers() -> bool:
            if process.popen.poll() is not None:
                pytest.fail(process.output())
            with suppress(httpx.TransportError):
                return httpx.get(f"http://{bind}/health/live/").status_code == 200
            return False

        wait_for(answers, "Gunicorn answers")
        return process, bind

    yield start
    for process in started:  # its workers outlive a master that was killed
        with suppress(ProcessLookupError):
            process.send(signal.SIGKILL)


def lines(process: Process) -> list[dict[str, Any]]:
    output = process.output().splitlines()
    return [json.loads(line) for line in output if line.startswith("{")]


def events(process: Process) -> list[str]:
    return [line["event"] for line in lines(process)]


def workers(process: Process) -> int:
    return sum(event.startswith("Booting worker with pid") for event in events(process))


def found_in_config(name: str) -> int:
    text = (ROOT / "gunicorn_config.py").read_text()
    (number,) = re.findall(rf"^{name} = ([\d_]+)", text, re.MULTILINE)
    return int(number)


def test_a_signal_does_not_go_round_the_cap(serve: Serve) -> None:
    process, _ = serve(WEB_CONCURRENCY="3")
    for wanted in (4, 5, 6):
        process.popen.send_signal(signal.SIGTTIN)
        text = "Handling signal: ttin"
        wait_for(lambda: events(process).count(text) == wanted - 3, "it heard")  # noqa: B023
    wait_for(lambda: workers(process) == 4, "a fourth starts")
    assert "5 workers asked for, 4 are the most (the cap)" in events(process)
    assert process.stop(seconds=40) == 0
    assert workers(process) == 4


def test_a_worker_hears_a_stop_from_its_first_moment(serve: Serve) -> None:
    process, _ = serve(WEB_CONCURRENCY="1")
    booting = "Booting worker with pid: "

    def newest() -> str:
        return process.output().rpartition(booting)[2].partition('"')[0]

    for _ in range(8):
        pid = newest()
        os.kill(int(pid), signal.SIGTERM)
        wait_for(lambda: f"Worker exiting (pid: {pid})" in events(process), "it ends", 10)  # noqa: B023
        deadline = time.monotonic() + 10
        while newest() == pid and time.monotonic() < deadline:
            pass  # the next one is told in the very moment in which it says that it boots
    assert process.stop(seconds=40) == 0


@pytest.mark.parametrize(
    ("options", "environment", "name"),
    [
        (("-w", "8"), {}, "the command"),
        (("-w8",), {}, "the command"),
        (("-Rw8",), {}, "the command"),
        (("--workers=8",), {}, "the command"),
        (("--worke", "8"), {}, "the command"),
        (("-c", "/tmp/other.py"), {}, "the command"),
        (("--config=/tmp/other.py",), {}, "the command"),
        ((), {"GUNICORN_CMD_ARGS": "--threads 2 -w 8"}, "GUNICORN_CMD_ARGS"),
        ((), {"GUNICORN_CMD_ARGS": "--conf='/tmp/other.py'"}, "GUNICORN_CMD_ARGS"),
    ],
    ids=str,
)
def test_what_would_go_round_the_cap_is_refused_by_name(
    enter: Start, options: tuple[str, ...], environment: dict[str, str], name: str
) -> None:
    process = enter(COMMAND[0], *options, *COMMAND[1:], **environment)
    assert process.popen.wait(30) == 78
    assert f"  {name}: got " in process.output()


def test_a_worker_is_replaced_after_its_share_and_no_request_fails(serve: Serve) -> None:
    """What leaks goes with it. The share is small here, to see it end."""
    process, bind = serve(
        WEB_CONCURRENCY="2",
        GUNICORN_CMD_ARGS="--max-requests 25 --max-requests-jitter 0",
    )
    answers = [httpx.get(f"http://{bind}/health/live/").status_code for _ in range(150)]
    assert set(answers) == {200}
    wait_for(lambda: workers(process) >= 4, "both were replaced")
    assert found_in_config("max_requests") >= 1000, "seldom in production, but not never"


def test_other_options_are_let_through(serve: Serve) -> None:
    process, _ = serve(GUNICORN_CMD_ARGS="--control-socket /nonexistent --capture-output")
    assert process.stop() == 0


def test_only_the_proxys_network_may_say_that_it_was_https(serve: Serve) -> None:
    told = {"X-Forwarded-Proto": "https", "Host": "eatfit24.example"}
    for networks, believed in (("127.0.0.0/8", True), ("10.0.0.0/8", False)):
        _, bind = serve(PROXY_NETWORKS=networks)
        answer = httpx.get(f"http://{bind}/health/live/", headers=told)
        assert ("strict-transport-security" in answer.headers) is believed


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({}, 2),
        ({"GUNICORN_WORKERS": "1"}, 1),
        ({"GUNICORN_WORKERS": "1", "WEB_CONCURRENCY": "3"}, 3),
        ({"GUNICORN_WORKERS": "1", "WEB_CONCURRENCY": "9"}, 4),
    ],
)
def test_how_many_workers(serve: Serve, environment: dict[str, str], number: int) -> None:
    process, _ = serve(**environment)
    wait_for(lambda: workers(process) >= number, f"{number} workers start")
    capped = "9 workers asked for, 4 are the most (the cap)"
    assert (capped in events(process)) is (environment.get("WEB_CONCURRENCY") == "9")
    assert process.stop() == 0
    assert workers(process) == number


def test_a_request_is_one_json_line_with_its_id_and_duration(serve: Serve) -> None:
    process, bind = serve(WEB_CONCURRENCY="1", RELEASE="abc123")
    identity = "from-the-proxy-0001"
    answer = httpx.get(
        f"http://{bind}/api/v1/nothing?token=not-to-be-told",
        headers={"X-Request-ID": identity, "Authorization": "Bearer not-to-be-told"},
    )
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (404, identity)

    def requests() -> list[dict[str, Any]]:
        return [line for line in lines(process) if line["logger"] == "access"]

    (line,) = wait_for(requests, "the access log's line")
    told = {name: line[name] for name in ("request_id", "method", "path", "status", "release")}
    assert told == {
        "request_id": identity,
        "method": "GET",
        "path": "/api/v1/nothing",
        "status": 404,
        "release": "abc123",
    }
    assert 0 < line["milliseconds"] < 10_000
    assert line["bytes"] == len(answer.content)
    made = httpx.get(f"http://{bind}/health/", headers={"X-Request-ID": "no spaces, please"})
    assert len(made.headers["X-Request-ID"]) == 32
    assert "not-to-be-told" not in process.output()
    wait_for(lambda: len(requests()) == 2, "the second line; checks of the process have none")


def test_it_stops_within_seconds_and_says_nothing_wrong(serve: Serve) -> None:
    process, bind = serve()
    started = time.monotonic()
    os.kill(process.popen.pid, signal.SIGTERM)
    assert process.popen.wait(8) == 0
    assert time.monotonic() - started < 8
    assert "Shutting down: Master" in events(process)
    assert not [line for line in lines(process) if line["level"] in ("ERROR", "CRITICAL")]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{bind}/health/live/")


def test_a_frozen_one_is_unhealthy_and_after_six_failures_is_ended(serve: Serve) -> None:
    process, bind = serve()
    for _ in range(2):
        assert check_health(process, "web", GUNICORN_BIND=bind) == (0, "")
    process.send(signal.SIGSTOP)
    assert check_health(process, "web", GUNICORN_BIND=bind) == (1, "failure 1 of 6 in a row")
    process.send(signal.SIGCONT)
    wait_for(lambda: check_health(process, "web", GUNICORN_BIND=bind)[0] == 0, "healthy again")
    assert not (process.runtime / "failures").exists(), "a success forgets the failures"
    process.send(signal.SIGSTOP)
    (process.runtime / "failures").write_text("5\n")
    code, output = check_health(process, "web", GUNICORN_BIND=bind)
    assert (code, output) == (1, "failure 6 of 6 in a row\nending the main process")
    assert process.popen.wait(5) == -signal.SIGKILL


def test_a_port_where_nobody_listens_is_unhealthy(serve: Serve) -> None:
    process, _ = serve(WEB_CONCURRENCY="1")
    elsewhere = f"127.0.0.1:{free_port()}"
    assert check_health(process, "web", GUNICORN_BIND=elsewhere) == (1, "starting")
    assert process.popen.poll() is None


def test_the_configuration_alone_refuses_a_wrong_environment(migrated_database: str) -> None:
    """Also without the entrypoint, as a developer may start it."""
    done = subprocess.run(
        ["gunicorn", "--config", str(ROOT / "gunicorn_config.py"), "--check-config", *COMMAND[1:]],
        cwd=ROOT / "backend",
        env={**os.environ, "PATH": path_with_gunicorn(), "GUNICORN_THREADS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "GUNICORN_THREADS: got '0'; takes a whole number from 1 to 32" in done.stderr


def path_with_gunicorn() -> str:
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def test_a_worker_that_is_recycled_loses_no_request(serve: Serve) -> None:
    """The configured 10,000 with jitter are read below; here fewer, so that it happens often."""
    recycling = "--max-requests 20 --max-requests-jitter 10"
    process, bind = serve(WEB_CONCURRENCY="2", GUNICORN_CMD_ARGS=recycling)
    with httpx.Client(base_url=f"http://{bind}") as kept:
        for number in range(120):
            answer = (
                kept.get("/health/live/")
                if number % 2
                else httpx.get(f"http://{bind}/health/live/")
            )
            assert answer.status_code == 200
    wait_for(lambda: workers(process) >= 5, "some were recycled")
    assert process.stop() == 0


def test_workers_are_recycled_one_after_the_other() -> None:
    configuration = (ROOT / "gunicorn_config.py").read_text()
    found = dict(re.findall(r"^(max_requests\w*) = ([\d_]+)", configuration, re.MULTILINE))
    assert int(found["max_requests"]) >= 1000
    assert int(found["max_requests_jitter"]) >= int(found["max_requests"]) // 10
