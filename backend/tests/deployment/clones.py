"""A copy of the tree in which scripts can be run and things broken."""

import os
import subprocess
import sys
from pathlib import Path

from tests.deployment.engine import copy_tree
from tests.processes import BACKEND, ROOT


def make_clone(tree: Path) -> None:
    """What a clone would hold; its environment is this one's, so that nothing is installed."""
    copy_tree(tree)
    (tree / "backend/.venv").symlink_to(BACKEND / ".venv")
    if (ROOT / ".tools").is_dir():
        (tree / ".tools").symlink_to(ROOT / ".tools")
    git(tree, "init", "--quiet")


def git(tree: Path, *arguments: str) -> str:
    author = ("-c", "user.name=Anna", "-c", "user.email=anna@example.org")
    return subprocess.run(
        ["git", *author, *arguments], cwd=tree, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit_all(tree: Path, message: str) -> str:
    """The new commit."""
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--no-verify", "--message", message)
    return git(tree, "rev-parse", "HEAD")


def run_script(
    tree: Path, name: str, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """scripts/NAME in `tree`, as from a developer's shell; both outputs are in `stdout`."""
    passed_on = ("PATH", "HOME", "REQUIRE_ENGINE")
    ours = {name: os.environ[name] for name in passed_on if name in os.environ}
    return subprocess.run(
        [str(tree / "scripts" / name), *arguments],
        env={**ours, "PYTHON": sys.executable, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
