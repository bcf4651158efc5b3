"""Real processes for tests: the sandbox, workers, beat. Each ends with its test."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

BACKEND = Path(__file__).resolve().parents[1]
ROOT = BACKEND.parent


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """The first true value of `condition`, or a failure that names what did not come."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return value


@dataclass
class Process:
    popen: "subprocess.Popen[bytes]"
    log: Path
    runtime: Path

    def send(self, number: signal.Signals) -> None:
        """To the process and its children alike."""
        os.killpg(self.popen.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.popen.wait(10)

    def stop(self, seconds: float = 15) -> int:
        if self.popen.poll() is None:
            self.popen.terminate()
        return self.popen.wait(seconds)

    def output(self) -> str:
        return self.log.read_text(errors="replace")


Spawn = Callable[..., Process]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Start a process in backend/ with the test's environment and its own runtime directory."""
    started: list[Process] = []

    def start(*command: str, **environment: str) -> Process:
        runtime = tmp_path / f"process-{len(started)}"
        runtime.mkdir()
        log = runtime / "log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                command,
                cwd=BACKEND,
                env={
                    **os.environ,
                    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                    "PYTHON": sys.executable,
                    "PYTHONUNBUFFERED": "1",
                    "RUNTIME_DIR": str(runtime),
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process(popen, log, runtime)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.popen.poll() is None:
            process.send(signal.SIGCONT)
            process.kill()


@pytest.fixture
def sandbox(spawn: Spawn) -> str:
    """The outside world; returns its address."""
    process = spawn(sys.executable, "-m", "sandbox", "--port", "0")

    def address() -> str:
        for line in process.output().splitlines():
            if line.startswith("sandbox: http"):
                return line.removeprefix("sandbox: ")
        return ""

    return str(wait_for(address, "the sandbox listens"))


def effects(sandbox: str) -> list[dict[str, Any]]:
    """What the outside world was asked to do, in order."""
    entries: list[dict[str, Any]] = httpx.get(
        f"{sandbox}/_log", params={"service": "effects"}, timeout=10
    ).json()["entries"]
    return entries


StartWorker = Callable[..., Process]


@pytest.fixture
def start_worker(spawn: Spawn, sandbox: str, transactional_db: None) -> StartWorker:
    """Start a Celery worker on the test database; returns once it consumes, or at once."""
    from django.db import connection

    def start(
        queues: str = "ai,billing,default", *, concurrency: int = 4, wait: bool = True, **env: str
    ) -> Process:
        process = spawn(
            *(sys.executable, "-m", "celery", "-A", "config", "worker"),
            *("-Q", queues, "-n", f"test-{time.monotonic_ns()}@%h"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            POSTGRES_DB=connection.settings_dict["NAME"],
            SANDBOX_URL=sandbox,
            TELEGRAM_API_URL=f"{sandbox}/telegram",
            CELERY_WORKER_CONCURRENCY=str(concurrency),
            **env,
        )
        if wait:
            wait_for(lambda: (process.runtime / "heartbeat").exists(), "the worker consumes")
        return process

    return start


@pytest.fixture
def start_beat(spawn: Spawn, transactional_db: None) -> Callable[..., Process]:
    from django.db import connection

    def start(*, wait: bool = True) -> Process:
        process = spawn(
            *(sys.executable, "-m", "celery", "-A", "config", "beat"),
            POSTGRES_DB=connection.settings_dict["NAME"],
        )
        if wait:
            wait_for(lambda: (process.runtime / "heartbeat").exists(), "beat ticks")
        return process

    return start
