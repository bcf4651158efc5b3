"""What the image says before a deploy, asked as scripts/pre-deploy-check.sh asks it."""

import copy
import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from apps.jobs.models import Job
from apps.operations.before_deploy import code_problems
from config import contract
from tests.config.environments import SOUND, run_python
from tests.errands.models import Errand
from tests.operations.test_compose_rules import SOUND as COMPOSE
from tests.processes import BACKEND, ROOT

PETABYTE = 10**15


def asked(*options: str, environment: str = "", compose: Any = COMPOSE) -> dict[str, list[str]]:
    """Result and detail by name."""
    told = {"compose": compose, "environment": environment or (ROOT / ".env.local").read_text()}
    done = subprocess.run(
        [sys.executable, "manage.py", "before_deploy", *options],
        cwd=BACKEND,
        env={**os.environ, "POSTGRES_DB": connection.settings_dict["NAME"]},
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return {name: [result, detail] for result, name, detail in lines}


@pytest.mark.django_db(transaction=True)
def test_one_word_a_check_and_all_of_them() -> None:
    Errand.objects.create(
        status=Job.Status.FAILED, finished_at=Now() - timedelta(hours=2), error_code="x"
    )
    Errand.objects.create(status=Job.Status.FAILED, finished_at=Now(), error_code="x")
    said = asked("--database-bytes", str(PETABYTE), environment="NONSENSE=1\n")
    result, detail = said["no job failed more than an hour ago"]
    assert (result, detail.split(" (")[0]) == ("warning", "1 of errands.Errand"), "one, not two"
    result, detail = said["the environment holds to the contract"]
    assert result == "FAILED"
    assert "NONSENSE: got an unknown variable; nobody reads it" in detail
    assert "more" in detail, "what is missing is long, and cut"
    result, detail = said["the host has room: disk for images and the database"]
    assert result == "FAILED"
    assert f"{(PETABYTE + 1024**3) // 1024**2} MB are needed" in detail
    for name in ("clocks and time zones agree", "uv.lock matches pyproject.toml"):
        assert said[name] == ["ok", ""]
    assert len(said) == 14


def test_a_first_deploy_has_no_database_to_ask() -> None:
    said = asked("--first")
    assert not {"clocks and time zones agree", "no job failed more than an hour ago"} & set(said)
    assert said["the environment holds to the contract"] == ["ok", ""]
    assert said["every change of a model has its migration"] == ["ok", ""]


def test_a_check_that_cannot_be_made_hides_no_other() -> None:
    compose = copy.deepcopy(COMPOSE)
    compose["services"]["db"]["ports"] = [{"host_ip": "nonsense"}]
    said = asked("--first", compose=compose)
    assert len(said) == 12
    result, detail = said["the frontend alone may be published"]
    assert (result, detail.split(": ")[:2]) == ("FAILED", ["it could not be told", "ValueError"])
    assert said["memory has limits, and alarms below them"][0] == "ok"


def test_code_that_does_not_compile_and_code_without_bytecode(tmp_path: Path) -> None:
    for name in ("sound", "broken", "fresh"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    done = subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path)], check=False)
    assert done.returncode == 0
    (tmp_path / "broken.py").write_text("def broken(:\n")
    for cached in (tmp_path / "__pycache__").glob("fresh.*"):
        cached.unlink()
    (tmp_path / ".venv").mkdir()
    shutil.copy(tmp_path / "broken.py", tmp_path / ".venv")
    broken, fresh = code_problems(tmp_path)
    assert broken.startswith("broken.py: invalid syntax")
    assert fresh == "fresh.py: there is no bytecode"


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ((), 1, "CommandError: migrations are made in development, reviewed and committed"),
        (("operations", "--empty"), 1, "CommandError: migrations are made in development"),
        (("--check",), 0, ""),
    ],
)
def test_production_makes_no_migrations(options: tuple[str, ...], code: int, says: str) -> None:
    before = sorted((BACKEND / "apps").rglob("migrations/*.py"))
    environment = {**SOUND, "POSTGRES_HOST": "/nonexistent"}
    done = run_python("manage.py", "makemigrations", *options, environment=environment)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(says) or not says
    assert sorted((BACKEND / "apps").rglob("migrations/*.py")) == before


def test_a_file_is_read_as_text(tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.write_text("A='1'\n")
    assert contract.parse_file(file) == contract.parse(file.read_text()) == {"A": "1"}
