"""One way in: it refuses before it acts, waits with a bound, and becomes the command."""

import os
import signal
import stat
from pathlib import Path

import pytest

from apps.operations.schema import known_migrations
from tests.deployment.conftest import Start, query
from tests.processes import ROOT, Process, Spawn, wait_for

# Says what it was started with, by whom, and then stays until it is told to end.
STUB = """#!/usr/bin/env bash
trap 'echo "terminated"; exit 0' TERM
env | sed 's/^/environment: /'
echo "arguments: $*"
echo "pid: $$"
echo "cwd: $PWD"
[[ -z ${STUB_STAYS:-} ]] || for ((;;)); do sleep 0.05; done
"""
GUNICORNS_OWN = f"--config {ROOT}/gunicorn_config.py"
WORKERS_OWN = "--without-gossip --without-mingle --without-heartbeat"


@pytest.fixture
def bin_directory(tmp_path: Path) -> Path:
    """A directory with a gunicorn and a celery that only say how they were started."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("gunicorn", "celery"):
        (directory / name).write_text(STUB)
        (directory / name).chmod(stat.S_IRWXU)
    return directory


@pytest.fixture
def stub(enter: Start, bin_directory: Path, migrated_database: str) -> Start:
    """Enter with the stubs on PATH, on a database that has its schema."""

    def start(*command: str, **environment: str) -> Process:
        path = f"{bin_directory}:{os.environ['PATH']}"
        defaults = {"PATH": path, "POSTGRES_DB": migrated_database, "STARTUP_WAIT_SECONDS": "20"}
        return enter(*command, **{**defaults, **environment})

    return start


def finish(process: Process, seconds: float = 30) -> int:
    return process.popen.wait(seconds)


def said(process: Process, what: str) -> list[str]:
    prefix = f"{what}: "
    lines = process.output().splitlines()
    return [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]


def became_the_command(process: Process) -> bool:
    return (process.runtime / "log").exists() and bool(said(process, "arguments"))


def tables(database: str) -> int:
    ((number,),) = query(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    return int(number)


@pytest.mark.parametrize("command", [("gunicorn",), ("celery", "worker"), ("celery", "beat")])
def test_a_wrong_environment_stops_it_before_anything(
    stub: Start, empty_database: str, command: tuple[str, ...]
) -> None:
    wrong = {"RUN_MIGRATIONS": "true", "DEBUG": "yes", "SECRET_KEY": "short-secret"}
    process = stub(*command, POSTGRES_DB=empty_database, **wrong)
    assert finish(process) == 78
    lines = process.output().splitlines()
    assert lines[0] == "The environment is wrong:"
    assert sorted(line.split(":")[0].strip() for line in lines[1:]) == sorted(wrong)
    assert "short-secret" not in process.output()
    assert sorted(path.name for path in process.runtime.iterdir()) == ["log"], "no pid file"
    assert tables(empty_database) == 0


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (("gunicorn", "-k", "x", "config.wsgi"), f"{GUNICORNS_OWN} -k x config.wsgi"),
        (("celery", "-A", "config", "worker"), f"-A config worker {WORKERS_OWN}"),
        (
            ("{bin}/celery", "-A", "config", "--workdir", "worker", "worker", "-Q", "ai"),
            f"-A config --workdir worker worker -Q ai {WORKERS_OWN}",
        ),
        (("celery", "--app=config", "-q", "beat"), "--app=config -q beat"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_role_is_prepared_and_then_becomes_its_command(
    stub: Start, bin_directory: Path, command: tuple[str, ...], arguments: str
) -> None:
    process = stub(*(word.format(bin=bin_directory) for word in command))
    assert finish(process) == 0, process.output()
    assert said(process, "arguments") == [arguments]
    assert said(process, "cwd") == [str(ROOT / "backend")]
    pid = str(process.popen.pid)
    assert said(process, "pid") == [pid], "exec: no shell stays between"
    assert (process.runtime / "pid").read_text().strip() == pid


def test_autoscaling_is_an_option_of_the_command(stub: Start) -> None:
    prefix = "CELERY_WORKER_AUTOSCALER"
    bounds = {prefix: "1", f"{prefix}_MIN": "2", f"{prefix}_MAX": "6"}
    prefork = {"CELERY_WORKER_POOL": "prefork", "CELERY_TASK_TIME_LIMIT": "60"}
    process = stub("celery", "-A", "config", "worker", **bounds, **prefork)
    assert finish(process) == 0, process.output()
    assert said(process, "arguments") == [f"-A config worker {WORKERS_OWN} --autoscale 6,2"]


@pytest.mark.parametrize(
    ("command", "output"),
    [
        (("celery", "-A", "worker", "inspect", "ping"), "arguments: -A worker inspect ping"),
        (("celery", "--broker", "worker", "report"), "arguments: --broker worker report"),
        (("python3", "-c", "print('as it is')"), "as it is"),
        (("manage-nothing-gunicorn",), "manage-nothing-gunicorn: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_anything_else_runs_as_it_is(stub: Start, command: tuple[str, ...], output: str) -> None:
    process = stub(*command, DEBUG="yes", POSTGRES_HOST="/nowhere")
    assert finish(process) == (127 if "nothing" in command[0] else 0)
    assert output in process.output()
    assert "The environment is wrong" not in process.output()
    assert not (process.runtime / "pid").exists()


@pytest.mark.parametrize(("arguments", "code"), [((), 64), (("--help",), 0), (("-h",), 0)])
def test_without_a_command_it_says_how(enter: Start, arguments: tuple[str, ...], code: int) -> None:
    process = enter(*arguments)
    assert finish(process) == code
    assert "entrypoint.sh celery … worker" in process.output()
    assert "Exit codes: 78" in process.output()


def test_empty_variables_are_unset_and_others_are_kept(stub: Start) -> None:
    empty = dict.fromkeys(("WEB_CONCURRENCY", "SOMEBODYS", "MIGRATIONS_STRICT"), "")
    process = stub("gunicorn", RELEASE="abc1", **empty)
    assert finish(process) == 0, process.output()
    names = {line.partition("=")[0] for line in said(process, "environment")}
    assert not empty.keys() & names
    assert "RELEASE=abc1" in said(process, "environment")


def test_a_nearly_empty_environment_is_no_obstacle(spawn: Spawn) -> None:
    """Bash itself exports a variable without a value when it starts without one."""
    process = spawn("env", "-i", "PATH=/usr/bin:/bin", str(ROOT / "entrypoint.sh"), "env")
    assert finish(process) == 0
    assert "unbound" not in process.output()


def test_it_works_from_anywhere_and_takes_the_signal(
    spawn: Spawn, bin_directory: Path, migrated_database: str, tmp_path: Path
) -> None:
    command = ("gunicorn", "config.wsgi")
    process = spawn(
        *("env", "-C", str(tmp_path), str(ROOT / "entrypoint.sh"), *command),
        PATH=f"{bin_directory}:{os.environ['PATH']}",
        POSTGRES_DB=migrated_database,
        STUB_STAYS="1",
    )
    wait_for(lambda: said(process, "cwd"), "the command runs")
    os.kill(process.popen.pid, signal.SIGTERM)
    assert finish(process, 5) == 0
    assert process.output().splitlines()[-1] == "terminated"
    assert said(process, "cwd") == [str(ROOT / "backend")]


def test_notes_about_an_earlier_process_are_taken_away(stub: Start, tmp_path: Path) -> None:
    notes = [tmp_path / "process-0" / name for name in ("was-healthy", "failures", "heartbeat")]
    process = stub("sh", "-c", "cd $RUNTIME_DIR && touch was-healthy failures heartbeat && ls")
    assert finish(process) == 0
    assert all(note.exists() for note in notes)
    again = stub("gunicorn", RUNTIME_DIR=str(process.runtime))
    assert finish(again) == 0
    assert not [note for note in notes if note.exists()]


def test_known_migrations_are_ours() -> None:
    assert {("jobs", "0001_initial"), ("accounts", "0001_initial")} <= known_migrations()
