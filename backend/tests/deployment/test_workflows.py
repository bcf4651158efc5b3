"""Workflows and pre-commit hold no logic, and what they call is there."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.clones import run_script
from tests.processes import BACKEND, ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SCRIPT = re.compile(r"scripts/[\w/.-]+")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in read(path)["jobs"].values():
        yield from job.get("steps", [])


def gates() -> set[str]:
    return set(run_script(ROOT, "check.sh", "--list").stdout.split())


def checked(command: str) -> set[str]:
    """The gates that a command runs."""
    words = command.split()
    if words[:1] != ["scripts/check.sh"]:
        return set()
    return set(words[1:]) or gates()


def test_the_six_are_there() -> None:
    named = {path.stem for path in WORKFLOWS}
    assert named == {
        *("backend", "build", "deploy", "security", "rotate-secrets", "restore-rehearsal"),
    }
    assert all(read(path)["name"] == path.stem for path in WORKFLOWS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_calls_exists_and_it_holds_no_logic(path: Path) -> None:
    commands = [step["run"] for step in steps(path) if "run" in step]
    assert path.stem == "deploy" or commands
    for command in commands:
        assert "\n" not in command.strip(), "more than one command is a script's work"
        assert "${{" not in command, "values come through the environment"
        for script in SCRIPT.findall(command):
            assert os.access(ROOT / script, os.X_OK), script
        assert checked(command) <= gates()
    for step in steps(path):
        used = step.get("uses", "")
        assert not used or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", used), "pinned by its commit"
    for job in read(path)["jobs"].values():
        if "uses" in job:
            assert (ROOT / job["uses"].removeprefix("$/")).exists()
        else:
            assert job["timeout-minutes"] <= 120


def test_backend_runs_every_gate_and_none_is_skipped() -> None:
    (path,) = [path for path in WORKFLOWS if path.stem == "backend"]
    found = [step for step in steps(path) if checked(step.get("run", ""))]
    assert set().union(*(checked(step["run"]) for step in found)) == gates()
    assert all(step["env"]["REQUIRE_ENGINE"] == "1" for step in found)
    assert {name for step in steps(path) for name in SCRIPT.findall(step.get("run", ""))} == {
        *("scripts/check.sh", "scripts/test.sh", "scripts/earlier-tests.sh"),
        "scripts/coverage.sh",
    }


def test_every_python_that_the_project_takes_is_tried() -> None:
    tried = [
        one["python"]
        for one in read(WORKFLOWS[0])["jobs"]["tests"]["strategy"]["matrix"]["include"]
    ]
    assert tried == ["3.11", "3.12", "3.13", "3.14"]
    project = tomllib.loads((BACKEND / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == f">={tried[0]}"
    assert project["tool"]["ruff"]["target-version"] == f"py{tried[0].replace('.', '')}"
    image = re.search(r"^FROM python:([\d.]+)-", (BACKEND / "Dockerfile").read_text(), re.MULTILINE)
    assert image
    assert image[1] in tried


def test_pre_commit_calls_gates_each_of_which_something_sets_off() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    for hook in repository["hooks"]:
        assert hook["entry"] == f"scripts/check.sh {hook['id']}"
        assert hook["id"] in gates()
        assert any(re.search(hook.get("files", ""), name) for name in tracked), hook["id"]


def test_the_changelog_knows_this_version() -> None:
    released = re.findall(
        r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$",
        (ROOT / "CHANGELOG.md").read_text(),
        re.MULTILINE,
    )
    project = tomllib.loads((BACKEND / "pyproject.toml").read_text())["project"]
    assert released[0] == project["version"]


def test_a_person_is_told_where_a_weakness_is_reported() -> None:
    assert "Private vulnerability reporting" in (ROOT / "SECURITY.md").read_text()
    assert "SECURITY.md" in (ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text()
