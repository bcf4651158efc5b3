"""A stack of containers of its own for a test: a copy of the tree, a project, ports."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx
import init_data_py
import pytest

from sandbox.embedded import free_port
from tests.processes import ROOT

BOT_TOKEN = "123456:AAEngine-test_token"


@cache
def engine_answers() -> bool:
    """Whether there is a Docker engine with Compose."""
    try:
        for command in (["docker", "compose", "version"], ["docker", "info"]):
            subprocess.run(command, capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def require_engine(test: str) -> None:
    """Skip where there is no engine, by name; fail where REQUIRE_ENGINE=1 says there must be."""
    if engine_answers():
        return
    if os.environ.get("REQUIRE_ENGINE") == "1":
        pytest.fail(f"{test}: REQUIRE_ENGINE=1, but no Docker engine with Compose answers")
    pytest.skip(f"{test}: needs a Docker engine with Compose")


@dataclass
class Stack:
    """A project of Compose in `tree`, with its own `.env`."""

    tree: Path
    files: str
    values: dict[str, str]
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "COMPOSE_FILE": self.files,
            "COMPOSE_PROGRESS": "plain",
        }
        self.write_environment()

    @property
    def image(self) -> str:
        tag = self.values.get("RELEASE", "development")
        return f"{self.values['COMPOSE_PROJECT_NAME']}-backend:{tag}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.values['PUBLIC_PORT']}"

    @property
    def check_url(self) -> str:
        return f"http://127.0.0.1:{self.values['CHECK_PORT']}"

    def answers(self, path: str = "/app") -> bool:
        """Whether the frontend serves; one that has just been started may refuse or hang up."""
        try:
            return httpx.get(f"{self.url}{path}").status_code == 200
        except httpx.TransportError:
            return False

    def write_environment(self, **changes: str) -> None:
        self.values |= changes
        text = "".join(f"{name}={value}\n" for name, value in self.values.items())
        (self.tree / ".env").write_text(text)

    def run(self, *command: str, check: bool = True, seconds: float = 600) -> str:
        """Run a command in the tree; its output, standard error included."""
        done = subprocess.run(
            command,
            cwd=self.tree,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}")
        return done.stdout

    def compose(self, *arguments: str, check: bool = True) -> str:
        return self.run("docker", "compose", *arguments, check=check)


def copy_tree(target: Path) -> None:
    """What a clone would hold, the working tree's changes included."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        source = ROOT / name
        if source.exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


@contextmanager
def running_stack(tmp: Path, values: dict[str, str], files: str = "compose.yml") -> Iterator[Stack]:
    """Build the images, bring everything up and wait; take it down with its volumes after."""
    copy_tree(tmp)
    ports = {
        name: str(free_port())
        for name in ("PUBLIC_PORT", "CHECK_PORT", "DEV_DATABASE_PORT", "DEV_DEBUGGER_PORT")
    }
    project = {"COMPOSE_PROJECT_NAME": f"eatfit24-test-{secrets.token_hex(3)}"}
    stack = Stack(tmp, files, {**values, **ports, **project})
    try:
        stack.compose("up", "--build", "--wait", "--detach")
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "20", check=False)
        stack.run("docker", "rmi", stack.image, check=False)


def new_key(path: Path) -> str:
    """Make a key for backups; returns its public half."""
    subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    done = subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True)
    return done.stdout.decode().strip()


def production_values() -> dict[str, str]:
    """`.env.example`, filled in."""
    return {
        "RELEASE": f"test-{secrets.token_hex(3)}",  # a tag that no other build moves
        "DJANGO_SETTINGS_MODULE": "config.settings.production",
        "SECRET_KEY": secrets.token_hex(32),
        "ALLOWED_HOSTS": "eatfit24.example",
        "PUBLIC_URL": "https://eatfit24.example",
        "POSTGRES_PASSWORD": secrets.token_hex(32),
        "CELERY_BROKER_URL": "redis://redis:6379/1",
        "CELERY_RESULT_BACKEND": "redis://redis:6379/2",
        "RUN_MIGRATIONS": "1",
        "TELEGRAM_BOT_TOKEN": BOT_TOKEN,
    }


def login_data(telegram_id: int) -> str:
    """What Telegram would give a Mini App of this bot."""
    user = json.dumps({"id": telegram_id, "first_name": "Anna", "language_code": "en"})
    return init_data_py.sign({"user": user, "query_id": "1"}, BOT_TOKEN)


class Site(Stack):
    """A clone on a server: what is deployed is a commit."""

    def commit(self, path: str, text: str) -> str:
        """Add the text to a file and commit; returns the release."""
        with (self.tree / path).open("a") as file:
            file.write(text)
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "a release")
        return self.run("git", "rev-parse", "--short=12", "HEAD").strip()

    def named(self) -> str:
        """The release that .env names."""
        lines = (self.tree / ".env").read_text().splitlines()
        (release,) = (
            line.removeprefix("RELEASE=") for line in lines if line.startswith("RELEASE=")
        )
        return release

    def running(self) -> dict[str, set[str]]:
        """Services and the releases that they run."""
        found: dict[str, set[str]] = {}
        for line in self.compose("ps", "--format", "{{.Service}} {{.Image}}").splitlines():
            service, _, image = line.partition(" ")
            found.setdefault(service, set()).add(image.rpartition(":")[2])
        return {name: found[name] for name in found if name not in ("db", "redis", "frontend")}

    def serves(self, release: str) -> bool:
        return self.named() == release and set.union(*self.running().values()) == {release}


@contextmanager
def running_site(tree: Path, **more: str) -> Iterator[Site]:
    """A site that was deployed, and has a backup."""
    copy_tree(tree)
    values = {
        **production_values(),
        **more,
        "RELEASE": "dev",
        "COMPOSE_PROJECT_NAME": f"eatfit24-site-{free_port()}",
        "PUBLIC_PORT": str(free_port()),
        "CHECK_PORT": str(free_port()),
    }
    site = Site(tree, "compose.yml", values)
    (tree / ".env").chmod(0o600)
    site.environment |= {
        f"GIT_{who}_{what}": "Deployer" if what == "NAME" else "deployer@eatfit24.example"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    site.run("git", "init", "--quiet")
    first = site.commit("README.md", "\n")
    try:
        site.run("scripts/deploy.sh")
        assert site.serves(first)
        site.run("scripts/backup.sh")  # without one of today nothing more is deployed
        yield site
    finally:
        site.compose("down", "--volumes", "--timeout", "20", check=False)
        images = site.run(
            "docker", "images", "--quiet", f"{values['COMPOSE_PROJECT_NAME']}-backend", check=False
        )
        site.run("docker", "rmi", "--force", *set(images.split()), check=False)
