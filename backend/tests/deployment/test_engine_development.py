"""compose.yml with compose.dev.yml and .env.local, on a real engine."""

import json
import socket
import subprocess
from collections.abc import Iterator

import pytest

from config.contract import parse_file
from sandbox.round_trip import eat
from tests.deployment.engine import Stack, running_stack
from tests.processes import ROOT, wait_for

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(
        tmp_path_factory.mktemp("development"),
        parse_file(ROOT / ".env.local"),
        "compose.yml:compose.dev.yml",
    ) as stack:
        yield stack


def test_the_smoke_test_passes(stack: Stack) -> None:
    report = json.loads(stack.run("scripts/smoke-test.sh", "--json"))
    assert report["ok"], report
    assert "Redis database of the broker is 0" in {check["name"] for check in report["checks"]}


def test_a_meal_goes_in_and_the_diary_counts_it(stack: Stack) -> None:
    assert eat(stack.url)["energy_kcal"] > 300


def test_a_debugger_may_attach(stack: Stack) -> None:
    port = int(stack.values["DEV_DEBUGGER_PORT"])
    heard = b""
    with socket.create_connection(("127.0.0.1", port), 10) as debugger:
        debugger.settimeout(10)
        while b'"debugpy"' not in heard:
            heard += debugger.recv(4096) or pytest.fail(f"closed after {heard!r}")


def test_watch_brings_a_changed_file_into_the_container(stack: Stack) -> None:
    watching = subprocess.Popen(
        ["docker", "compose", "watch", "--no-up"],
        cwd=stack.tree,
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert watching.stdout is not None
        assert any("atch" in line for line in watching.stdout), "it watches"
        source = stack.tree / "backend/config/urls.py"
        source.write_text(source.read_text() + "\n# changed\n")
        copied = ("exec", "-T", "celery-beat", "tail", "-n", "1", "/app/backend/config/urls.py")
        wait_for(lambda: "# changed" in stack.compose(*copied, check=False), "the change arrives")
    finally:
        watching.terminate()
        watching.wait(10)
