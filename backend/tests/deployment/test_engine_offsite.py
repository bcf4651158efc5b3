"""Backups off-site: encrypted, kept for their time there too, enough when the server is gone."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from sandbox.embedded import free_port
from tests.deployment.engine import Stack
from tests.deployment.test_engine_backups import databases, newest, remember, remembered, sql, works
from tests.deployment.test_retention import kept

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]

KEEP = {"BACKUP_KEEP_DAYS": "2", "BACKUP_KEEP_WEEKS": "2", "BACKUP_KEEP_MONTHS": "3"}


@dataclass
class Bucket:
    client: Any
    name: str
    prefix: str

    def objects(self) -> dict[str, bytes]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        assert all(key.startswith(self.prefix) for key in keys)
        return {
            key.removeprefix(self.prefix): self.client.get_object(Bucket=self.name, Key=key)[
                "Body"
            ].read()
            for key in keys
        }

    def backups(self) -> set[str]:
        return {key.split("/")[0] for key in self.objects() if key.startswith("20")}


@pytest.fixture(scope="module")
def bucket(stack: Stack) -> Iterator[Bucket]:
    """The stack copies its backups here, and keeps few of them."""
    before = dict(stack.values)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    access = {
        "BACKUP_S3_ENDPOINT": f"http://{host}:{port}",
        "BACKUP_S3_ACCESS_KEY": "access",
        "BACKUP_S3_SECRET_KEY": "very-secret",
    }
    client = boto3.client(
        "s3",
        endpoint_url=access["BACKUP_S3_ENDPOINT"],
        region_name="us-east-1",
        aws_access_key_id="access",
        aws_secret_access_key="very-secret",
    )
    client.create_bucket(Bucket="far-away")
    stack.write_environment(BACKUP_S3_BUCKET="far-away", **access, **KEEP)
    yield Bucket(client, "far-away", f"{stack.values['COMPOSE_PROJECT_NAME']}/")
    stack.values = before
    stack.write_environment()
    server.stop()


def test_a_copy_is_encrypted_and_kept_by_days_weeks_and_months_there(
    stack: Stack, bucket: Bucket
) -> None:
    now = datetime.now(UTC)
    nights = [f"{now - timedelta(days=age):%Y-%m-%dT01-30-00Z}" for age in range(2, 120, 2)]
    for name in nights:
        key = f"{bucket.prefix}{name}/about"
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"old")
    stack.run("scripts/backup.sh")
    here = {path.name for path in (stack.tree / "backups").glob("20*")}
    expected = kept([*nights, *here], "\n".join(f"{name}={n}" for name, n in KEEP.items()))
    assert bucket.backups() == set(expected)
    assert 4 < len(expected) < len(nights) / 2
    told = 0
    for key, content in bucket.objects().items():
        if not key.endswith(("/about", "/tables", "/SHA256SUMS")):
            assert content.startswith(b"age-encryption.org/"), key
            told += 1
    assert told >= 3, "a dump, a base and WAL"
    assert (stack.tree / ".state/offsite-copied").exists()


def test_what_is_lost_here_is_not_lost_there(stack: Stack, bucket: Bucket) -> None:
    before = bucket.backups()
    shutil.rmtree(stack.tree / "backups")
    stack.run("scripts/backup.sh", "wal")
    assert bucket.backups() == before
    assert "would: copy" in stack.run("scripts/backup.sh", "--dry-run")


def test_off_site_is_rehearsed(stack: Stack, bucket: Bucket) -> None:
    shutil.rmtree(stack.tree / "backups")
    assert "good: " in stack.run("scripts/restore-rehearsal.sh", "--offsite")
    assert not list((stack.tree / "backups").glob(".offsite*"))
    assert "there is no backup in backups" in stack.run("scripts/restore-rehearsal.sh", check=False)


def test_a_server_that_is_gone_comes_back_from_off_site(stack: Stack, bucket: Bucket) -> None:
    """Photos, too; and what was written after the backup, from the WAL."""
    # Of today: older ones that no row names are removed.
    day = f"/srv/photos/{datetime.now(UTC):%Y-%m-%d}"
    put = f"mkdir -p {day} && echo photo >{day}/one.jpg"
    stack.compose("exec", "-T", "backend", "sh", "-c", put)
    stack.run("scripts/backup.sh")
    remember(stack, "after-the-backup")
    stack.run("scripts/backup.sh", "wal")
    stack.compose("down", "--volumes")
    shutil.rmtree(stack.tree / "backups")
    stack.run("scripts/restore.sh", "--offsite", "--yes", "--at", "latest")
    assert "after-the-backup" in remembered(stack)
    assert works(stack)
    show = ("exec", "-T", "backend", "cat", f"{day}/one.jpg")
    assert stack.compose(*show).strip() == "photo"
    for former in [name for name in databases(stack) if "_before_" in name]:
        sql(stack, f'DROP DATABASE "{former}"', "postgres")


def test_while_off_site_is_away_the_backup_here_is_whole(stack: Stack, bucket: Bucket) -> None:
    right, copied = stack.values["BACKUP_S3_ENDPOINT"], stack.tree / ".state/offsite-copied"
    before, moment = newest(stack), copied.stat().st_mtime
    stack.write_environment(BACKUP_S3_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    try:
        done = subprocess.run(
            ["scripts/backup.sh"],
            cwd=stack.tree,
            env=stack.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        stack.write_environment(BACKUP_S3_ENDPOINT=right)
    assert done.returncode == 1
    assert "the copy off-site failed; the backup here is whole" in done.stderr
    assert "very-secret" not in done.stdout + done.stderr
    assert newest(stack) != before
    assert copied.stat().st_mtime == moment, "the detector will tell"
