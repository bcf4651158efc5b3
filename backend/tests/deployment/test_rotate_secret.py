"""scripts/rotate-secret.sh where it refuses, says what it would do, and writes into .env."""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import contract
from config.settings import base
from tests.config.environments import SOUND
from tests.processes import ROOT

NAMES = {
    "SECRET_KEY": SOUND["SECRET_KEY"],
    "POSTGRES_PASSWORD": "the-password-that-is-in-use",
    "TELEGRAM_BOT_TOKEN": SOUND["TELEGRAM_BOT_TOKEN"],
    "TELEGRAM_BOT_API_SECRET": "what-telegram-says-now",
    "YOOKASSA_SECRET_KEY": "live_key-of-the-shop",
    "OPENROUTER_API_KEY": "sk-or-key-in-use",
    "AI_PROXY_SECRET": "secret-of-the-proxy",
}

each_name = pytest.mark.parametrize("name", NAMES)


@dataclass
class Clone:
    """The scripts beside an .env, and a docker that nothing here may ask."""

    tree: Path

    def run(self, *arguments: str, said: str = "") -> tuple[int, str]:
        done = subprocess.run(
            [str(self.tree / "scripts/rotate-secret.sh"), *arguments],
            env={"PATH": f"{self.tree / 'bin'}:{os.environ['PATH']}"},
            input=said,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        for value in NAMES.values():
            assert value not in done.stdout
        return done.returncode, done.stdout

    def write(self, path: str, text: str) -> None:
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / path).write_text(text)

    def files(self) -> Mapping[str, str]:
        """What is kept: .env, and what scripts remember; locks are not."""
        kept = [self.tree / ".env", *(self.tree / ".state").rglob("*")]
        return {
            str(path): path.read_text()
            for path in kept
            if path.suffix != ".lock" and path.is_file()
        }


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    clone = Clone(tmp_path)
    clone.write(".env", "".join(f"{name}={value}\n" for name, value in NAMES.items()))
    clone.write("bin/docker", "#!/bin/sh\necho docker was asked\nexit 1\n")
    (tmp_path / "bin/docker").chmod(0o755)
    return clone


@pytest.mark.parametrize(
    "arguments", [(), ("NOTHING",), ("S3_SECRET_KEY",), ("SECRET_KEY", "value"), ("--what",), ("",)]
)
def test_what_it_does_not_know_it_refuses(clone: Clone, arguments: tuple[str, ...]) -> None:
    before = clone.files()
    status, said = clone.run(*arguments)
    assert status == 64
    assert "rotate-secret.sh --list" in said, "how it is used"
    assert clone.files() == before


@each_name
def test_what_is_empty_is_not_rotated(clone: Clone, name: str) -> None:
    clone.write(".env", f"{name}=\n")
    assert clone.run(name) == (
        1,
        f"rotate-secret.sh: there is nothing to rotate: {name} is empty in .env\n",
    )


@pytest.mark.parametrize(
    ("path", "text", "arguments", "said"),
    [
        (".state/secrets/SECRET_KEY.former", "x\n", ("SECRET_KEY",), "--finish SECRET_KEY first"),
        (".state/secrets/SECRET_KEY.next", "x\n", ("--finish", "SECRET_KEY"), "was cut short"),
        (".state/deploying", "one two\n", ("SECRET_KEY",), "scripts/rollback.sh first"),
        (".env", "POSTGRES_PASSWORD=x\nPOSTGRES_USER=me\n", ("POSTGRES_PASSWORD",), "take turns"),
        (".env", "SECRET_KEY=x\nSECRET_KEY_FALLBACKS=y\n", ("SECRET_KEY",), "--finish SECRET_KEY"),
    ],
)  # fmt: skip
def test_it_does_not_begin_where_it_could_not_end(
    clone: Clone, path: str, text: str, arguments: tuple[str, ...], said: str
) -> None:
    clone.write(path, text)
    before = clone.files()
    status, told = clone.run(*arguments)
    assert (status, said in told) == (1, True), told
    assert clone.files() == before


def test_it_waits_for_no_deploy(clone: Clone) -> None:
    clone.write(".state/deploy.lock", "")
    with (clone.tree / ".state/deploy.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, said = clone.run("SECRET_KEY")
    assert (status, "another deploy" in said) == (1, True)


@each_name
@pytest.mark.parametrize("how", ["", "--emergency", "--finish"])
def test_a_dry_run_says_what_would_be_and_does_nothing(clone: Clone, name: str, how: str) -> None:
    if how == "--finish":
        clone.write(f".state/secrets/{name}.former", NAMES[name])
    before = clone.files()
    status, said = clone.run("--dry-run", *filter(None, [how]), name)
    assert status == 0
    lines = said.splitlines()
    assert lines
    assert all(line.startswith("would: ") for line in lines)
    ends = bool(how) or name == "POSTGRES_PASSWORD"
    assert (f"end the former {name}" in said) is ends
    assert (f"leave the former {name} good" in said) is not ends
    assert clone.files() == before


def test_nothing_is_finished_where_nothing_is_open(clone: Clone) -> None:
    assert clone.run("--finish", "SECRET_KEY") == (
        0,
        "there is no former SECRET_KEY that is still good\n",
    )


def test_the_list_says_how_old_they_are_and_what_is_open(clone: Clone) -> None:
    then = datetime.now(UTC) - timedelta(days=40, hours=1)
    clone.write(".state/secrets/SECRET_KEY", f"{then:%Y-%m-%dT%H:%M:%SZ}\n")
    clone.write(".state/secrets/SECRET_KEY.former", "former-key\n")
    clone.write(".state/secrets/AI_PROXY_SECRET.next", "next-secret\noverlap\nformer-secret\n")
    status, said = clone.run("--list", "--json")
    entries = {entry.pop("name"): entry for entry in json.loads(said)}
    assert (status, set(entries)) == (0, set(NAMES))
    until = then + timedelta(seconds=base.REFRESH_TOKEN_LIFETIME)
    assert entries["SECRET_KEY"] == {
        "rotated_at": f"{then:%Y-%m-%dT%H:%M:%SZ}",
        "age_days": 40,
        "overlap": "open",
        "finish_from": f"{until:%Y-%m-%dT%H:%M:%SZ}",
    }
    assert entries["AI_PROXY_SECRET"]["overlap"] == "interrupted"
    never = {"rotated_at": None, "age_days": None, "overlap": None, "finish_from": None}
    assert entries["POSTGRES_PASSWORD"] == never
    status, said = clone.run("--list")
    assert status == 0
    assert "40 days, the former is still good" in said
    assert "scripts/rotate-secret.sh --finish SECRET_KEY" in said
    assert "AI_PROXY_SECRET           never rotated, cut short" in said
    for value in ("former-key", "next-secret", "former-secret"):
        assert value not in said


def test_overlaps_last_as_long_as_what_they_are_for() -> None:
    script = (ROOT / "scripts/rotate-secret.sh").read_text()
    assert f"[SECRET_KEY]={base.REFRESH_TOKEN_LIFETIME} " in script
    assert f"[TELEGRAM_BOT_TOKEN]={base.TELEGRAM_LOGIN_MAX_AGE} " in script


def env_with(file: str, *changes: str) -> str:
    """.env as the script would write it."""
    program = 'set -euo pipefail; state=.state; . scripts/lib/secrets.sh; cd $1; env_with "${@:2}"'
    done = subprocess.run(
        ["bash", "-c", program, "bash", file, *changes],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


VISIBLE = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\\")
VALUES = st.text(VISIBLE, max_size=40)


@given(value=VALUES, other=VALUES)
def test_what_is_written_into_the_file_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, value: str, other: str
) -> None:
    directory = tmp_path_factory.mktemp("env")
    (directory / ".env").write_text("# Ours.\nRELEASE=dev\nSECRET_KEY='$old'\n\nDEBUG=0")
    text = env_with(str(directory), f"SECRET_KEY={value}", f"SECRET_KEY_FALLBACKS={other}")
    read = {"RELEASE": "dev", "DEBUG": "0", "SECRET_KEY": value}
    assert contract.parse(text) == read | ({"SECRET_KEY_FALLBACKS": other} if other else {})
    assert text.startswith("# Ours.\nRELEASE=dev\nSECRET_KEY=")
