"""The units of deploy/host, as systemd reads them."""

import os
import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.processes import ROOT

HOST = ROOT / "deploy/host"
TIMERS = sorted(path.stem for path in HOST.glob("*.timer"))
HOME = "/opt/eatfit24"
DOCKER = "[Service]\nExecStart=/bin/true\n"


def read(name: str) -> ConfigParser:
    unit = ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(HOST / name)
    return unit


@pytest.mark.parametrize("name", TIMERS)
def test_a_timer_runs_a_script_that_is_there_with_arguments_that_it_takes(name: str) -> None:
    script, *arguments = shlex.split(read(f"{name}.service")["Service"]["ExecStart"])
    assert read(f"{name}.service")["Service"]["WorkingDirectory"] == HOME
    path = ROOT / Path(script).relative_to(HOME)
    assert os.access(path, os.X_OK)
    done = subprocess.run([path, "--help"], capture_output=True, text=True, check=True)
    for argument in arguments:
        assert re.search(rf"{path.name}.* {argument}\b", done.stdout), done.stdout


def test_every_service_has_its_timer_and_the_guide_starts_them_all() -> None:
    assert sorted(path.stem for path in HOST.glob("*.service")) == TIMERS
    (enable,) = re.findall(r"systemctl enable --now (.*)", (ROOT / "docs/RUN_PROD.md").read_text())
    assert sorted(enable.split()) == [f"{name}.timer" for name in TIMERS]


@pytest.fixture
def units(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """As they would lie on a server whose /opt/eatfit24 is this tree."""
    if not shutil.which("systemd-analyze"):
        pytest.skip(f"{request.node.name}: needs systemd-analyze")
    for path in (*HOST.glob("*.service"), *HOST.glob("*.timer")):
        (tmp_path / path.name).write_text(path.read_text().replace(HOME, str(ROOT)))
    (tmp_path / "docker.service").write_text(DOCKER)
    return tmp_path


def verify(units: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(units.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_systemd_finds_nothing_wrong(units: Path) -> None:
    assert verify(units) == (0, "")


@pytest.mark.parametrize(
    ("right", "spoilt", "told"),
    [
        ("=*-*-* 01:30:00 UTC", "=every night", "calendar"),
        ("Persistent=", "Persistant=", "Persistant"),
        ("scripts/backup.sh", "scripts/back-up.sh", "back-up.sh"),
    ],
)
def test_systemd_would_find_what_is_wrong(units: Path, right: str, spoilt: str, told: str) -> None:
    for path in units.glob("eatfit24-backup.*"):
        path.write_text(path.read_text().replace(right, spoilt))
    assert told in verify(units)[1]
