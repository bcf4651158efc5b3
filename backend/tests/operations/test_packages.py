"""What is installed is what the lock says, and the lock is what was asked for."""

from pathlib import Path

import pytest

from apps.operations.packages import installed_problems, lock_problems
from tests.processes import BACKEND

LOCK = """
[[package]]
name = "ours"
version = "0.1.0"
source = { virtual = "." }
dependencies = [
    { name = "queue-kit", extra = ["redis"] },
    { name = "old-python", marker = "python_full_version < '3.0'" },
]

[package.dev-dependencies]
dev = [{ name = "tester" }]

[package.metadata]
requires-dist = [
    { name = "queue-kit", extras = ["redis"], specifier = ">=1,<2" },
    { name = "old-python", marker = "python_full_version < '3.0'" },
]

[package.metadata.requires-dev]
dev = [{ name = "tester", specifier = ">=3" }]

[[package]]
name = "queue-kit"
version = "1.4"
source = { registry = "https://example.org/simple" }
dependencies = [{ name = "wire" }]
sdist = { url = "https://example.org/queue_kit-1.4.tar.gz" }
wheels = [
    { url = "https://example.org/queue_kit-1.4-py3-none-any.whl" },
]

[package.optional-dependencies]
redis = [{ name = "redis" }]

[[package]]
name = "wire"
version = "2.0"

[[package]]
name = "redis"
version = "8.0"

[[package]]
name = "tester"
version = "3.1"

[[package]]
name = "old-python"
version = "0.9"
"""
PYPROJECT = """
[project]
name = "ours"
dependencies = [
    "Queue_Kit[redis] >=1, <2",
    "old.python; python_version < '3.0'",
]

[dependency-groups]
dev = ["tester>=3"]
"""
SOUND = ("queue_kit-1.4", "wire-2.0", "redis-8.0")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "uv.lock").write_text(LOCK)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    return tmp_path


def problems(project: Path, *names: str) -> list[str]:
    place = project / "installed"
    for name in names:
        (place / f"{name}.dist-info").mkdir(parents=True)
    return installed_problems(project, [str(place)])


def test_what_the_lock_says_is_sound(project: Path) -> None:
    assert problems(project, *SOUND) == []


def test_what_development_adds_may_be_there(project: Path) -> None:
    assert problems(project, *SOUND, "tester-3.1", "old_python-0.9") == []


@pytest.mark.parametrize(
    ("installed", "says"),
    [
        (("queue_kit-1.3", *SOUND[1:]), "queue-kit 1.3 is installed, the lock says 1.4"),
        ((*SOUND, "wire-1.9"), "wire 1.9 is installed, the lock says 2.0"),
        ((*SOUND, "guest-1.0"), "guest 1.0 is installed, the lock does not know it"),
        (SOUND[1:], "queue-kit 1.4 is not installed"),
        (SOUND[:1] + SOUND[2:], "wire 2.0 is not installed"),
        (SOUND[:2], "redis 8.0 is not installed"),
    ],
)
def test_what_differs_is_named(project: Path, installed: tuple[str, ...], says: str) -> None:
    assert problems(project, *installed) == [says]


def test_a_lock_of_what_is_asked_for_is_sound(project: Path) -> None:
    assert lock_problems(project) == []


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (">=1, <2", ">=1, <3", "pyproject.toml asks for queue-kit[redis]<3,>=1, the lock does not"),
        ("[redis]", "", "pyproject.toml asks for queue-kit<2,>=1, the lock does not"),
        ('"tester>=3"', '"tester>=3", "guest"', "pyproject.toml asks for guest, the lock does not"),
        ('"tester>=3"', "", "the lock was made for tester>=3, nobody asks for it"),
    ],
)
def test_a_lock_of_something_else_is_named(
    project: Path, before: str, after: str, says: str
) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT.replace(before, after))
    assert says in lock_problems(project)


def test_ours_are_sound() -> None:
    assert lock_problems(BACKEND) == []
    assert installed_problems(BACKEND) == []
