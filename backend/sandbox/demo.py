"""The whole system on one machine without Docker: every process, through the real entrypoint.

Started by scripts/demo.sh.
"""

import argparse
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from config.variables import BY_NAME
from sandbox.embedded import Postgres, Redis, Unavailable, end_with_parent, free_port
from sandbox.round_trip import RoundTripFailed, eat

BACKEND = Path(__file__).resolve().parents[1]
ROOT = BACKEND.parent
START_SECONDS = 120
STOP_SECONDS = 30


class DemoFailed(Exception):
    """Why the demo cannot go on, in one line."""


def say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is being done while it is, and how long it took."""
    print(f"  {text} …", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print(" failed", flush=True)
        raise
    print(f" {time.monotonic() - started:.1f} s", flush=True)


@dataclass
class Service:
    """A process of the system, with its log and its runtime directory."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    runtime: Path

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


class Stack:
    """All processes, started together and stopped in the order that loses nothing."""

    def __init__(self, data: Path, port: int) -> None:
        self.data = data
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self.services: list[Service] = []

    def start(self, host: str, redis: Redis) -> None:
        sandbox = free_port()
        self._environment = {
            # What the shell may have set for another stack is not meant for this one.
            **{name: text for name, text in os.environ.items() if not _is_ours(name)},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
            "SECRET_KEY": _kept_secret(self.data / "secret-key"),
            "DEBUG": "0",
            "ALLOWED_HOSTS": "localhost",
            "PUBLIC_URL": self.url,
            "POSTGRES_HOST": host,
            "POSTGRES_PASSWORD": "not-asked-for-on-this-socket",
            "CELERY_BROKER_URL": redis.url(0),
            "CELERY_RESULT_BACKEND": redis.url(1),
            "CELERY_WORKER_CONCURRENCY": "8",
            "GUNICORN_BIND": f"127.0.0.1:{self._port}",
            "RUN_MIGRATIONS": "1",
            "TELEGRAM_BOT_TOKEN": "1:development",
            "PHOTO_DIR": str(self.data / "photos"),
            "TELEGRAM_API_URL": f"http://127.0.0.1:{sandbox}/telegram",
            "TELEGRAM_BOT_API_SECRET": _kept_secret(self.data / "webhook-secret"),
        }
        entrypoint = str(ROOT / "entrypoint.sh")
        celery = [entrypoint, "celery", "-A", "config"]
        self._spawn("sandbox", [sys.executable, "-m", "sandbox", "--port", str(sandbox)])
        self._spawn("backend", [entrypoint, "gunicorn", "config.wsgi:application"])
        self._spawn(
            "celery-worker",
            [*celery, "worker", "-n", "celery-worker@%h", "-Q", "ai,billing,default"],
        )
        self._spawn(
            "celery-worker-billing",
            [*celery, "worker", "-n", "celery-worker-billing@%h", "-Q", "billing"],
        )
        self._spawn("celery-beat", [*celery, "beat"])

    def _spawn(self, name: str, command: list[str]) -> None:
        runtime, log = self.data / "run" / name, self.data / "logs" / f"{name}.log"
        for directory in (runtime, log.parent):
            directory.mkdir(parents=True, exist_ok=True)
        (runtime / "heartbeat").unlink(missing_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=BACKEND,
                env={**self._environment, "RUNTIME_DIR": str(runtime)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours to pass on, in order
                preexec_fn=end_with_parent,
            )
        self.services.append(Service(name, process, log, runtime))

    def check_alive(self) -> None:
        for service in self.services:
            if service.process.poll() is not None:
                raise DemoFailed(
                    f"{service.name} ended with {service.process.returncode}; its last words:\n"
                    f"{service.last_words()}"
                )

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while waiting := [
            service.name for service in self.services if not self.is_healthy(service)
        ]:
            self.check_alive()
            if time.monotonic() > deadline:
                raise DemoFailed(f"not healthy after {START_SECONDS} s: {', '.join(waiting)}")
            time.sleep(0.1)

    def is_healthy(self, service: Service) -> bool:
        if service.name == "sandbox":
            return "http://" in service.last_words()
        if service.name.startswith("celery"):
            return (service.runtime / "heartbeat").exists()
        try:
            return httpx.get(f"{self.url}/health/", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        """Beat first, so that nothing new is sent; then workers, then the backend."""
        deadline = time.monotonic() + STOP_SECONDS
        for service in reversed(self.services):
            if service.process.poll() is None:
                service.process.terminate()
            try:
                service.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                service.process.kill()
                service.process.wait()


def _is_ours(name: str) -> bool:
    return name.removesuffix("_FILE") in BY_NAME


def _kept_secret(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text()


def port_number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: it takes 1 to 65535")
    return int(text)


def claim_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoFailed(
                f"port {port} cannot be used ({error.strerror}): choose another one with --port"
            ) from None


def claim_data(data: Path, stack: ExitStack) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = stack.enter_context((data / "lock").open("w"))
    except OSError as error:
        raise DemoFailed(f"{data} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise DemoFailed(
            f"a demo already runs on {data}: stop it, or choose another place with --data"
        ) from None


def run(port: int, data: Path, *, check: bool) -> None:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    with ExitStack() as stack:
        claim_port(port)
        claim_data(data, stack)
        with step("PostgreSQL"):
            postgres = Postgres(data / "postgres")
            stack.callback(postgres.stop)
        with step("Redis"):
            redis = Redis(data / "redis")
            stack.callback(redis.stop)
        system = Stack(data, port)

        def stop_system() -> None:
            with step("stopping"):
                system.stop()

        stack.callback(stop_system)
        system.start(postgres.host, redis)
        with step("sandbox, Gunicorn, two Celery workers and beat"):
            _wait(system, stopping)
        if check:
            with step("a meal goes in, the diary counts it"):
                totals = eat(system.url)
            say(f"  the day has {totals['energy_kcal']:g} kcal")
            return
        if not stopping.is_set():
            _tell(system, data)
        while not stopping.wait(1.0):
            system.check_alive()


def _wait(system: Stack, stopping: threading.Event) -> None:
    failure: list[BaseException] = []

    def wait() -> None:
        try:
            system.wait_until_healthy()
        except DemoFailed as error:
            failure.append(error)

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    while waiter.is_alive() and not stopping.is_set():
        waiter.join(0.1)
    if failure:
        raise failure[0]


def _tell(system: Stack, data: Path) -> None:
    url = system.url
    say(
        f"""
  EatFit24 is up.

    page       {url}/app
    API docs   {url}/api/v1/docs
    logs       {data}/logs

  Try it:

    A={url}/api/v1; J='Content-Type: application/json'; \
of() {{ sed 's/.*"'$1'": *"\\([^"]*\\)".*/\\1/'; }}; \
T=$(curl -s $A/auth/development -H "$J" -d '{{"telegram_id": 1}}' | of access_token); \
R=$(curl -s $A/recognitions -H "Authorization: Bearer $T" -H "$J" -H 'Accept-Language: en' \
-d '{{"text": "2 eggs, 150 g rice and a banana"}}' | of id); \
sleep 1; curl -s $A/recognitions/$R -H "Authorization: Bearer $T"

  Ctrl-C stops it; the data stays in {data}."""
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo.sh", description=__doc__)
    parser.add_argument("--port", type=port_number, default=8000)
    parser.add_argument("--data", type=Path, default=ROOT / ".demo")
    parser.add_argument("--check", action="store_true", help="do one round trip, then stop")
    options = parser.parse_args()
    try:
        run(options.port, options.data.resolve(), check=options.check)
    except (
        DemoFailed,
        RoundTripFailed,
        Unavailable,
        httpx.HTTPError,
        OSError,
        subprocess.SubprocessError,
    ) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
