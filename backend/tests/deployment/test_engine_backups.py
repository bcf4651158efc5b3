"""Backups that come back: restored, to a moment, from nothing; and those that must be refused."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.engine import Stack, new_key
from tests.processes import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]


def sql(stack: Stack, statement: str, database: str = "eatfit24") -> str:
    return stack.compose(
        "exec", "-T", "db", "psql", "-U", "postgres", "-X", "-qtA", "-v", "ON_ERROR_STOP=1",
        "-d", database, "-c", statement,
    ).strip()  # fmt: skip


def remember(stack: Stack, name: str) -> None:
    """A row that was certainly written by now."""
    sql(
        stack,
        f"INSERT INTO operations_report (name, ok, detail, created_at) VALUES ('{name}', true, '', now())",  # noqa: E501
    )


def remembered(stack: Stack) -> set[str]:
    return set(sql(stack, "SELECT name FROM operations_report").split())


def databases(stack: Stack) -> set[str]:
    return set(sql(stack, "SELECT datname FROM pg_database", "postgres").split())


def newest(stack: Stack) -> Path:
    return max((stack.tree / "backups").glob("20*"))


def works(stack: Stack) -> bool:
    return bool(json.loads(stack.run("scripts/smoke-test.sh", "--json", check=False))["ok"])


def test_what_was_lost_by_hand_comes_back(stack: Stack) -> None:
    remember(stack, "before")
    assert "would:" in stack.run("scripts/backup.sh", "--dry-run")
    assert not (stack.tree / "backups").exists()
    stack.run("scripts/backup.sh")
    sql(stack, "DELETE FROM operations_report")
    remember(stack, "after")
    assert "replaces eatfit24" in stack.run("scripts/restore.sh", "--dry-run")
    assert "nobody is there to answer" in stack.run("scripts/restore.sh", check=False)
    assert remembered(stack) == {"after"}, "nothing has changed yet"
    stack.run("scripts/restore.sh", "--yes")
    assert remembered(stack) == {"before"}
    assert works(stack)
    (former,) = [name for name in databases(stack) if "_before_" in name]
    assert sql(stack, "SELECT name FROM operations_report", former) == "after", "still there"
    sql(stack, f'DROP DATABASE "{former}"', "postgres")


def test_nothing_in_a_backup_can_be_read_without_the_key(stack: Stack) -> None:
    sealed = {f"{name}.age" for name in ("database.dump", "base.tar.gz", "photos.tar.gz")}
    assert {path.name for path in newest(stack).iterdir()} == {
        *sealed, "about", "tables", "SHA256SUMS"
    }  # fmt: skip
    for path in newest(stack).iterdir():
        if path.name not in ("about", "tables", "SHA256SUMS"):
            assert path.read_bytes().startswith(b"age-encryption.org/"), path.name
        assert path.stat().st_mode & 0o077 == 0
    wal = list((stack.tree / "backups/wal").rglob("*.age"))
    assert wal
    assert all(path.read_bytes().startswith(b"age-encryption.org/") for path in wal)


@pytest.fixture
def broken(stack: Stack) -> Iterator[Path]:
    """A copy of the newest backup, to be broken; newer by its name."""
    copy = stack.tree / "backups" / "2099-01-01T00-00-00Z"
    shutil.copytree(newest(stack), copy)
    yield copy
    shutil.rmtree(copy)


def refused(stack: Stack, words: str) -> None:
    """Restore and rehearsal each end with one line, and nothing has changed."""
    before = (remembered(stack), databases(stack))
    for script in (["scripts/restore.sh", "--yes"], ["scripts/restore-rehearsal.sh"]):
        done = subprocess.run(
            script, cwd=stack.tree, env=stack.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
    rehearsed = remembered(stack) - {"restore-rehearsal"}
    assert (rehearsed, databases(stack)) == (before[0] - {"restore-rehearsal"}, before[1])


@pytest.mark.parametrize("damage", ["truncated", "corrupted", "missing", "no sums"])
def test_a_damaged_backup_is_refused(stack: Stack, broken: Path, damage: str) -> None:
    dump = broken / "database.dump.age"
    data = bytearray(dump.read_bytes())
    if damage == "truncated":
        dump.write_bytes(data[: len(data) // 2])
    elif damage == "corrupted":
        data[len(data) // 2] ^= 1
        dump.write_bytes(data)
    elif damage == "missing":
        dump.unlink()
    else:
        (broken / "SHA256SUMS").unlink()
    refused(stack, "2099-01-01T00-00-00Z: refused: ")


def test_another_key_is_refused(stack: Stack, tmp_path: Path) -> None:
    right = stack.values["BACKUP_AGE_IDENTITY"]
    new_key(tmp_path / "other.txt")
    for name, words in (("other.txt", "is not the key"), ("none.txt", "cannot be read")):
        stack.write_environment(BACKUP_AGE_IDENTITY=str(tmp_path / name))
        try:
            refused(stack, words)
        finally:
            stack.write_environment(BACKUP_AGE_IDENTITY=right)


def test_a_rehearsal_compares_every_row_and_tells_the_console(stack: Stack, broken: Path) -> None:
    tables = broken / "tables"
    tables.write_text(tables.read_text().replace("\t1\t", "\t2\t", 1))
    stack.run("sh", "-c", f"cd {broken} && sha256sum [!S]* > SHA256SUMS")
    done = stack.run("scripts/restore-rehearsal.sh", check=False)
    assert "what was loaded is not what was backed up" in done
    last = "SELECT ok, detail FROM operations_report ORDER BY id DESC LIMIT 1"
    assert sql(stack, last).startswith("f|2099-01-01T00-00-00Z: what was loaded is not")


def test_a_rehearsal_of_a_good_backup_is_recorded_and_leaves_nothing(stack: Stack) -> None:
    before = databases(stack)
    stack.run("scripts/restore-rehearsal.sh")
    last = "SELECT ok, detail FROM operations_report ORDER BY id DESC LIMIT 1"
    assert sql(stack, last).startswith(f"t|{newest(stack).name}: ")
    assert "ok" in (stack.tree / ".state/restore-rehearsal").read_text()
    assert databases(stack) == before
    volumes = stack.run("docker", "volume", "ls", "--quiet", "--filter", "name=rehearsal")
    assert not volumes


def test_any_moment_since_a_base_can_be_restored(stack: Stack) -> None:
    sql(stack, "TRUNCATE operations_report")
    stack.run("scripts/backup.sh")
    remember(stack, "early")
    moment = sql(stack, "SELECT clock_timestamp()")
    remember(stack, "late")
    stack.run("scripts/backup.sh", "wal")
    assert "ends before" in stack.run(
        "scripts/restore.sh", "--yes", "--at", "2090-01-01 00:00+00", check=False
    )
    assert "no backup with its base is older" in stack.run(
        "scripts/restore.sh", "--yes", "--at", "2020-01-01 00:00+00", check=False
    )
    assert remembered(stack) == {"early", "late"}
    stack.run("scripts/restore.sh", "--yes", "--at", moment)
    assert remembered(stack) == {"early"}
    assert works(stack)


def test_a_lost_database_comes_back_with_its_last_wal(stack: Stack) -> None:
    remember(stack, "last-words")
    stack.run("scripts/backup.sh", "wal")
    stack.compose("down", "--volumes")
    stack.run("scripts/restore.sh", "--yes", "--at", "latest")
    assert "last-words" in remembered(stack)
    assert works(stack)
    stack.run("scripts/backup.sh")
    clusters = list((stack.tree / "backups/wal").iterdir())
    assert len(clusters) == 2, "the new cluster's WAL does not mix with the old one's"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_backup_that_is_cut_short_is_none(stack: Stack, how: signal.Signals) -> None:
    before = set((stack.tree / "backups").glob("20*"))
    process = subprocess.Popen(
        ["scripts/backup.sh"],
        cwd=stack.tree,
        env=stack.environment,
        stdout=subprocess.PIPE,
        # As from a terminal: whatever runs in a shell's background ignores it, and its children do.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: list((stack.tree / "backups").glob(".partial-*")), "it has begun")
    process.send_signal(how)
    process.communicate(timeout=60)
    assert set((stack.tree / "backups").glob("20*")) == before
    if how != signal.SIGKILL:
        assert not list((stack.tree / "backups").glob(".partial-*"))
    time.sleep(1)  # names are to the second
    stack.run("scripts/backup.sh")
    assert len(set((stack.tree / "backups").glob("20*"))) == len(before) + 1
    assert not list((stack.tree / "backups").glob(".partial-*"))


def test_two_at_once_do_not_mix(stack: Stack) -> None:
    with subprocess.Popen(
        ["scripts/backup.sh"], cwd=stack.tree, env=stack.environment, stdout=subprocess.PIPE
    ) as first:
        wait_for(lambda: list((stack.tree / "backups").glob(".partial-*")), "it has begun")
        assert "another backup runs" in stack.run("scripts/backup.sh", check=False)
        first.communicate(timeout=60)
    assert first.returncode == 0
