"""Databases as production has them, and processes through the real entrypoint."""

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from sandbox.embedded import DATABASE
from sandbox.server import Sandbox
from tests.deployment.engine import (
    Stack,
    new_key,
    production_values,
    require_engine,
    running_stack,
)
from tests.processes import BACKEND, ROOT, Process, Spawn

PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "POSTGRES_USER": "eatfit24_a",
    "POSTGRES_OWNER": "eatfit24_owner",
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("engine"):
        require_engine(item.name)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """compose.yml alone. Every module that uses it leaves it whole."""
    tree = tmp_path_factory.mktemp("production")
    key = tmp_path_factory.mktemp("key") / "key.txt"
    values = production_values()
    values |= {"BACKUP_AGE_RECIPIENT": new_key(key), "BACKUP_AGE_IDENTITY": str(key)}
    with running_stack(tree, values) as stack:
        yield stack


@pytest.fixture
def outside() -> Iterator[str]:
    """The outside world, of which a test may order faults; its address."""
    with Sandbox("127.0.0.1", 0) as sandbox:
        thread = threading.Thread(target=sandbox.serve_forever, args=(0.02,))
        thread.start()
        yield sandbox.url
        sandbox.shutdown()
        thread.join()


Start = Callable[..., Process]


def query(database: str, statement: str) -> list[tuple[Any, ...]]:
    """What a superuser sees in `database`."""
    with psycopg.connect(
        host=os.environ["POSTGRES_HOST"], user="postgres", dbname=database, autocommit=True
    ) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@contextmanager
def new_database(template: str) -> Iterator[str]:
    name = f"deployed_{secrets.token_hex(4)}"
    query("postgres", f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name
    finally:
        query("postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database() -> Iterator[str]:
    """A database of its own with production's roles and no tables."""
    with new_database(DATABASE) as name:
        yield name


@pytest.fixture(scope="session")
def migrated_database() -> Iterator[str]:
    """A database with every table, of which nobody here changes any."""
    with new_database(DATABASE) as name:
        environment = {**os.environ, **PRODUCTION, "POSTGRES_DB": name}
        subprocess.run(
            [sys.executable, "manage.py", "migrate"],
            cwd=BACKEND,
            env=environment,
            check=True,
            capture_output=True,
        )
        yield name


@pytest.fixture
def migrated_copy(migrated_database: str) -> Iterator[str]:
    """A database with every table, to be changed."""
    with new_database(migrated_database) as name:
        yield name


@pytest.fixture
def enter(spawn: Spawn) -> Start:
    """Start the real entrypoint under production's settings."""

    def start(*command: str, **environment: str) -> Process:
        return spawn(str(ROOT / "entrypoint.sh"), *command, **{**PRODUCTION, **environment})

    return start


def check_health(process: Process, role: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of healthcheck.sh, beside this process."""
    done = subprocess.run(
        [str(ROOT / "healthcheck.sh"), role],
        env={**os.environ, "RUNTIME_DIR": str(process.runtime), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=20,
    )
    return done.returncode, done.stdout.strip()
