"""scripts/demo.sh: the whole system without Docker, as a newcomer starts it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from sandbox.embedded import free_port
from tests.processes import ROOT, wait_for

DEMO = str(ROOT / "scripts/demo.sh")


@pytest.fixture
def environment() -> dict[str, str]:
    """A newcomer's shell: none of the variables that tests set."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def demo(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [DEMO, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def left_behind(data: Path) -> list[str]:
    """Processes that still know the data directory."""
    commands = (" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"]))
    return [command for command in commands if str(data) in command]


def test_a_check_does_the_round_trip_and_the_data_stays(
    environment: dict[str, str], tmp_path: Path
) -> None:
    port = str(free_port())
    kcal = []
    for _ in range(2):
        done = demo(environment, "--check", "--port", port, "--data", str(tmp_path / "data"))
        assert done.returncode == 0, done.stdout + done.stderr
        (line,) = [line for line in done.stdout.splitlines() if "the day has" in line]
        kcal.append(float(line.split()[-2]))
    assert kcal[1] == pytest.approx(2 * kcal[0])
    assert left_behind(tmp_path) == []


@pytest.fixture
def running(
    environment: dict[str, str], tmp_path: Path
) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    port = free_port()
    process = subprocess.Popen(
        [DEMO, "--port", str(port), "--data", str(tmp_path / "data")],
        env=environment,
        stdout=(tmp_path / "output").open("w"),
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output = tmp_path / "output"
    try:
        wait_for(
            lambda: "Ctrl-C stops it" in output.read_text() or process.poll() is not None,
            "the demo is up",
            seconds=90,
        )
        assert process.poll() is None, output.read_text()
        yield process, port
    finally:
        print(output.read_text())
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def test_it_prints_what_to_do_next_and_stops_on_ctrl_c(
    running: tuple["subprocess.Popen[str]", int], environment: dict[str, str], tmp_path: Path
) -> None:
    process, port = running
    text = (tmp_path / "output").read_text()
    url = f"http://127.0.0.1:{port}"
    for address in (f"{url}/app", f"{url}/api/v1/docs"):
        assert address in text
        assert httpx.get(address).status_code == 200
    (curl,) = [line for line in text.splitlines() if "curl -s" in line]
    tried = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True)
    assert '"status": "done"' in tried.stdout
    assert '"energy_kcal"' in tried.stdout

    second = demo(environment, "--port", str(free_port()), "--data", str(tmp_path / "data"))
    assert second.returncode == 1
    assert "a demo already runs on" in second.stderr.splitlines()[-1]
    taken = demo(environment, "--port", str(port), "--data", str(tmp_path / "other"))
    assert taken.returncode == 1
    assert taken.stderr.splitlines()[-1].startswith(f"demo: port {port} cannot be used")

    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert left_behind(tmp_path) == []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_the_walk_through_the_api_goes_as_its_document_says(
    running: tuple["subprocess.Popen[str]", int], environment: dict[str, str], tmp_path: Path
) -> None:
    _, port = running
    document = (ROOT / "docs/API.md").read_text()
    walk = "".join(re.findall(r"^```bash\n(.*?)^```$", document, re.DOTALL | re.MULTILINE))
    shown = [line for line in walk.splitlines() if line.startswith("status ")]
    assert shown
    assert all(re.search(r" # \d{3}$", line) for line in shown)
    walk = re.sub(r" # (\d{3})$", r" | tee /dev/stderr | grep -qx \1", walk, flags=re.MULTILINE)
    walk = walk.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    Image.new("RGB", (40, 30), "green").save(tmp_path / "photo.jpg")
    done = subprocess.run(
        ["bash", "-x", "-euo", "pipefail", "-c", walk],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "eatfit24.json").read_text())["data"]


def test_a_killed_part_is_told_with_its_last_words(
    running: tuple["subprocess.Popen[str]", int], tmp_path: Path
) -> None:
    process, _ = running
    for child in psutil.Process(process.pid).children():
        if "beat" in child.cmdline():
            child.kill()
    assert process.wait(60) == 1
    assert "celery-beat ended with -9; its last words:" in (tmp_path / "output").read_text()
    assert left_behind(tmp_path) == []


def only(tmp_path: Path, *programs: str) -> str:
    """A PATH with these programs of the machine and nothing else."""
    path = tmp_path / "bin"
    path.mkdir()
    for program in programs:
        (path / program).symlink_to(shutil.which(program) or pytest.fail(program))
    return str(path)


def test_a_missing_python_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    environment["PATH"] = only(tmp_path, "bash", "env", "dirname")
    done = demo(environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "Python 3.11 or newer is missing" in line


def test_no_network_is_one_clear_line(environment: dict[str, str], tmp_path: Path) -> None:
    """uv is asked to work offline with an empty cache, in a fresh clone of the scripts."""
    clone = tmp_path / "clone"
    (clone / "backend").mkdir(parents=True)
    for name in ("scripts", "backend/pyproject.toml", "backend/uv.lock"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(clone / name)], check=True)
    (clone / ".tools").symlink_to(ROOT / ".tools")
    environment |= {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [str(clone / "scripts/demo.sh")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "is there a network?" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["--port", "abc"], ["--nonsense"], ["--port", "70000"]])
def test_wrong_arguments_are_refused(environment: dict[str, str], arguments: list[str]) -> None:
    done = demo(environment, *arguments)
    assert done.returncode == 2
    assert "error:" in done.stderr.splitlines()[-1]
