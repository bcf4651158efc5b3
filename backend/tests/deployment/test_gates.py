"""scripts/check.sh can fail: a copy of the tree is broken in one way a gate."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deployment.clones import make_clone, run_script
from tests.processes import BACKEND, ROOT

NAIVE = "from datetime import datetime\n\n\ndef today() -> datetime:\n    return datetime.now()\n"
UNTYPED = "def twice(number):\n    return 2 * number\n"
UPWARD = "from apps.operations import models\n\n__all__ = ['models']\n"
LOCKS = """from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("operations", "{last}")]
    operations = [migrations.AddIndex("report", models.Index(fields=["name"], name="report_name"))]
"""

# One run of the gates for all of these.
pytestmark = pytest.mark.xdist_group("gates")

# In two parts, or the gate would find it here.
BOT_TOKEN = ":".join(["7301482915", "AAHqZ3xR8vK1mT5bW9cY2dL6fN4gP7hJ0sE"])

Break = Callable[[Path], None]


def write(path: str, text: str) -> Break:
    return lambda tree: (tree / path).write_text(text) and None


def replace(path: str, before: str, after: str) -> Break:
    def change(tree: Path) -> None:
        text = (tree / path).read_text()
        assert before in text
        (tree / path).write_text(text.replace(before, after))

    return change


def add_a_migration_that_locks(tree: Path) -> None:
    directory = tree / "backend/apps/operations/migrations"
    last = max(directory.glob("0*.py")).stem
    (directory / "0999_locks.py").write_text(LOCKS.format(last=last))


# Gate, how it is broken, and what it says.
BROKEN: list[tuple[str, Break, str]] = [
    ("format", write("backend/tests/unformatted.py", "x=1\n"), "tests/unformatted.py:1"),
    ("lint", write("backend/apps/ai/naive.py", NAIVE), "DTZ005"),
    ("types", write("backend/apps/ai/untyped.py", UNTYPED), "apps/ai/untyped.py:1: error"),
    ("imports", write("backend/apps/jobs/upward.py", UPWARD), "apps.jobs is not allowed"),
    (
        "migrations",
        replace("backend/apps/operations/models.py", "max_length=64", "max_length=65"),
        "Alter field name on report",
    ),
    ("migration-rules", add_a_migration_that_locks, "operations.0999_locks: locks: Create"),
    (
        "settings",
        replace("backend/config/settings/base.py", '"Europe/Moscow"', '"Asia/Tokyo"'),
        "(operations.E001) TIME_ZONE is Asia/Tokyo",
    ),
    (
        "environment",
        replace(".env.example", "RUN_MIGRATIONS=1", "RUN_MIGRATIONS=yes"),
        "RUN_MIGRATIONS: got 'yes'; takes 0 or 1",
    ),
    (
        "compose",
        replace("compose.yml", "[celery, -A, config, beat]", '[sh, -c, "celery beat"]'),
        "celery-beat runs sh: takes gunicorn or celery",
    ),
    (
        "lock",
        replace("backend/pyproject.toml", '"httpx>=0.28,<0.29"', '"httpx>=0.28"'),
        "pyproject.toml asks for httpx>=0.28, the lock does not",
    ),
    ("compile", write("backend/tests/broken.py", "def broken(:\n"), "SyntaxError"),
    (
        "workflows",
        replace(".github/workflows/deploy.yml", "permissions: {}", "permissions: write-all"),
        "error[excessive-permissions]",
    ),
    ("secrets", write("docs/leak.md", f"The bot: {BOT_TOKEN}\n"), "docs/leak.md"),
    ("shell", write("scripts/broken.sh", "#!/usr/bin/env bash\necho $1\n"), "SC2086"),
]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What one run says of a copy that is broken in every way at once."""
    tree = tmp_path_factory.mktemp("broken")
    make_clone(tree)
    if (BACKEND / ".mypy_cache").is_dir():  # types take long without
        shutil.copytree(BACKEND / ".mypy_cache", tree / "backend/.mypy_cache")
    for _, spoil, _ in BROKEN:
        spoil(tree)
    done = run_script(tree, "check.sh", *(gate for gate, _, _ in BROKEN))
    assert done.returncode == 1
    return done.stdout


@pytest.mark.parametrize(("gate", "says"), [(gate, says) for gate, _, says in BROKEN])
def test_a_gate_fails_and_says_why(output: str, gate: str, says: str) -> None:
    if gate == "compose" and shutil.which("docker") is None:
        assert "skipped compose: there is no docker compose" in output
        return
    sections = re.split(r"^FAILED  ", output, flags=re.MULTILINE)[1:]
    (section,) = [text for text in sections if text.startswith(f"{gate}\n")]
    assert says in section


def test_every_gate_is_shown_to_fail() -> None:
    listed = run_script(ROOT, "check.sh", "--list").stdout.split()
    assert set(listed) == {gate for gate, _, _ in BROKEN}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("clone")
    make_clone(tree)
    return tree


@pytest.mark.parametrize(
    ("path", "before", "after", "says"),
    [
        ("workflows/build.yml", "runs-on:", "runs-at:", "'runs-on' is a required property"),
        ("dependabot.yml", "interval: weekly", "interval: sometimes", "'sometimes' is not one of"),
        ("ISSUE_TEMPLATE/bug.yml", "type: input", "type: inputs", "'inputs' is not one of"),
    ],
)
def test_what_github_would_not_understand_is_refused(
    clone: Path, path: str, before: str, after: str, says: str
) -> None:
    file = clone / ".github" / path
    sound = file.read_text()
    assert before in sound
    file.write_text(sound.replace(before, after))
    done = run_script(clone, "check.sh", "workflows")
    file.write_text(sound)
    assert done.returncode == 1
    assert says in done.stdout


def test_secrets_of_our_own_kinds_are_found_and_not_shown(clone: Path) -> None:
    word = "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6j7K8l9Z0x1C"
    leaks = {
        "settings.env": f"SECRET_KEY={word}\n",
        "shop.py": f'KEY = "live_{word}"\n',
        "bot.md": f"The bot: {BOT_TOKEN}\n",
    }
    for name, text in leaks.items():
        (clone / name).write_text(text)
    done = run_script(clone, "check.sh", "secrets")
    for name in leaks:
        (clone / name).unlink()
    assert done.returncode == 1
    assert all(name in done.stdout for name in leaks), done.stdout
    assert word not in done.stdout
    assert BOT_TOKEN not in done.stdout
    assert run_script(clone, "check.sh", "secrets").returncode == 0


def test_an_unknown_gate_is_refused() -> None:
    done = run_script(ROOT, "check.sh", "lint", "lnit")
    assert done.returncode == 64
    assert "there is no gate lnit" in done.stdout
