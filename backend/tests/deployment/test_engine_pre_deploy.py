"""scripts/pre-deploy-check.sh on a running stack: passes, and names everything that is wrong."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.operations.compose_rules import ALARM
from tests.deployment.engine import Stack, copy_tree, production_values, running_stack

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]

NO_BACKUP = "a backup is younger than a day"

# Everything in the image that a check looks at, spoilt; what starts it is left alone.
BROKEN_IMAGE = """
FROM {image}
USER 0
RUN cd /app/backend \
 && printf 'def broken(:\\n' >apps/broken.py \
 && sed -i 's/max_length=64/max_length=65/' apps/operations/models.py \
 && sed 's/^    operations = .*/    operations = [migrations.AddIndex("report", models.Index(fields=["name"], name="x"))]\\n    former = [/; s/^    dependencies = .*/    dependencies = [("operations", "0001_report")]/' \
      apps/operations/migrations/0001_report.py >apps/operations/migrations/0999_locks.py \
 && sed -i 's/^TIME_ZONE = .*/TIME_ZONE = "Asia\\/Tokyo"/' config/settings/base.py \
 && sed -i 's/"whitenoise/"whitenoise-next", "whitenoise/' pyproject.toml \
 && mv /app/.venv/lib/python3.13/site-packages/whitenoise-*.dist-info \
       /app/.venv/lib/python3.13/site-packages/whitenoise-1.0.dist-info
USER 10001:10001
"""  # noqa: E501


# The kernel's own count of a container, page cache and all: cgroup v2, else v1.
USED_BYTES = """
cat /sys/fs/cgroup/memory.current 2>/dev/null || cat /sys/fs/cgroup/memory/memory.usage_in_bytes
"""


def git(stack: Stack, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    stack.run("git", *identity, *arguments)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    tree = tmp_path_factory.mktemp("pre-deploy")
    with running_stack(tree, production_values()) as stack:
        (tree / ".env").chmod(0o600)
        git(stack, "init", "--quiet")
        git(stack, "add", "--all")
        git(stack, "commit", "--quiet", "--message", "A release")
        yield stack


def checked(stack: Stack, *arguments: str) -> dict[str, Any]:
    output = stack.run("scripts/pre-deploy-check.sh", "--json", *arguments, check=False)
    report: dict[str, Any] = json.loads(output)
    numbers = [check["number"] for check in report["checks"]]
    assert numbers == list(range(1, len(numbers) + 1))
    return report


def failures(report: dict[str, Any], result: str = "failed") -> dict[str, str]:
    return {
        check["name"]: check["detail"] for check in report["checks"] if check["result"] == result
    }


def test_a_sound_server_passes_once_it_has_a_backup(stack: Stack) -> None:
    report = checked(stack)
    assert set(failures(report)) == {NO_BACKUP}
    assert not report["ok"]
    stack.run("scripts/backup.sh")
    report = checked(stack)
    assert report["ok"], report
    assert (report["failed"], report["warnings"]) == (0, 0)
    told = stack.run("scripts/pre-deploy-check.sh", stack.values["RELEASE"]).splitlines()
    assert len(told) == len(report["checks"]) + 1
    assert (
        told[-1] == f"{stack.values['RELEASE']} may be deployed: {len(told) - 1} checks, 0 warnings"
    )


def test_the_first_time_neither_backups_nor_the_database_are_asked(stack: Stack) -> None:
    (stack.tree / "backups").rename(stack.tree / ".state/backups")
    try:
        report = checked(stack, "--first")
    finally:
        (stack.tree / ".state/backups").rename(stack.tree / "backups")
    names = {check["name"] for check in report["checks"]}
    assert report["ok"], report
    assert not {NO_BACKUP, "clocks and time zones agree"} & names


def sql(stack: Stack, statement: str) -> None:
    stack.compose(
        "exec", "-T", "db", "psql", "-U", "postgres", "-qX", "-d", "eatfit24", "-c", statement
    )


def test_a_server_on_which_everything_is_wrong(stack: Stack) -> None:
    """One run names it all: no check hides another."""
    tree, project = stack.tree, stack.values["COMPOSE_PROJECT_NAME"]
    environment, compose = (tree / ".env").read_text(), (tree / "compose.yml").read_text()
    (backup,) = (tree / "backups").glob("20*")
    (tree / ".env.prod").touch()
    (tree / ".env").write_text(environment + "NONSENSE=1\n")
    (tree / ".env").chmod(0o640)
    backup.rename(backup.with_name("2026-01-01T00-00-00Z"))
    spoilt = compose.replace("[celery, -A, config, beat]", '[sh, -c, "exec celery"]')
    spoilt = spoilt.replace("memory: 1536M", "memory: 900G")
    spoilt = spoilt.replace("    image: redis:", '    ports: ["6379"]\n    image: redis:')
    (tree / "compose.yml").write_text(spoilt)
    sql(stack, "ALTER DATABASE eatfit24 SET timezone = 'Asia/Tokyo'")
    sql(
        stack,
        "INSERT INTO jobs_probe (id, queue, status, attempts, handed_back, max_attempts,"
        " error_code, last_error, request_id, release, handled_by, finished_at) VALUES"
        " (gen_random_uuid(), 'ai', 'failed', 1, 0, 1, 'x', '', '', '', '', now() - interval '2h')",
    )
    open_one = stack.run(
        *("docker", "run", "--detach", "--publish", "6379"),
        *("--label", f"com.docker.compose.project={project}"),
        *("--label", "com.docker.compose.service=somebodys"),
        *("--label", "com.docker.compose.oneoff=True", "redis:8-trixie"),
    ).strip()
    try:
        report = checked(stack)
    finally:
        stack.run("docker", "rm", "--force", open_one)
        sql(stack, "ALTER DATABASE eatfit24 RESET timezone")
        sql(stack, "DELETE FROM jobs_probe WHERE status = 'failed'")
        (tree / "compose.yml").write_text(compose)
        backup.with_name("2026-01-01T00-00-00Z").rename(backup)
        (tree / ".env").write_text(environment)
        (tree / ".env").chmod(0o600)
        (tree / ".env.prod").unlink()
    wrong = failures(report)
    assert {name: said for name, said in wrong.items() if "room" not in name}.keys() == {
        "the tree is clean",
        "configuration comes from .env alone",
        "nobody else can read .env",
        NO_BACKUP,
        "the frontend alone is open to the world",
        "the environment holds to the contract",
        "commands begin with celery or gunicorn",
        "the frontend alone may be published",
        "memory has limits, and alarms below them",
        "clocks and time zones agree",
    }
    assert "the host has room: memory" in wrong
    assert "compose.yml" in wrong["the tree is clean"]
    assert ".env.prod" in wrong["configuration comes from .env alone"]
    assert wrong["nobody else can read .env"] == "it is 640: chmod 600 .env"
    assert "hours old: scripts/backup.sh" in wrong[NO_BACKUP]
    assert wrong["the frontend alone is open to the world"] == "open as well: somebodys"
    assert "NONSENSE" in wrong["the environment holds to the contract"]
    assert "redis publishes" in wrong["the frontend alone may be published"]
    assert "Asia/Tokyo" in wrong["clocks and time zones agree"]
    warnings = failures(report, "warning")
    assert warnings.keys() == {"no job failed more than an hour ago"}
    assert checked(stack)["ok"], "all is as it was"


def test_an_image_in_which_everything_is_wrong(stack: Stack, tmp_path: Path) -> None:
    repository = stack.image.partition(":")[0]
    (tmp_path / "Dockerfile").write_text(BROKEN_IMAGE.format(image=stack.image))
    stack.run("docker", "build", "--quiet", "--tag", f"{repository}:broken", str(tmp_path))
    try:
        report = checked(stack, "broken")
    finally:
        stack.run("docker", "rmi", f"{repository}:broken")
    wrong = failures(report)
    assert wrong.keys() == {
        "the release is tagged, and says so itself",
        "every change of a model has its migration",
        "migrations lock nothing and break nothing unmarked",
        "uv.lock matches pyproject.toml",
        "what is installed is what uv.lock says",
        "all Python compiles, and has its bytecode",
        "manage.py check --deploy finds nothing",
        "clocks and time zones agree",
    }
    assert stack.values["RELEASE"] in wrong["the release is tagged, and says so itself"]
    assert (
        "operations.0999_locks: locks"
        in wrong["migrations lock nothing and break nothing unmarked"]
    )
    assert "whitenoise 1.0 is installed" in wrong["what is installed is what uv.lock says"]
    assert "apps/broken.py: invalid syntax" in wrong["all Python compiles, and has its bytecode"]
    assert "TIME_ZONE is Asia/Tokyo" in wrong["manage.py check --deploy finds nothing"]


def test_an_image_that_is_not_there_and_files_that_compose_refuses(stack: Stack) -> None:
    absent = failures(checked(stack, "nowhere"))
    assert absent.keys() == {"the release is tagged, and says so itself", "the image can be asked"}
    compose = (stack.tree / "compose.yml").read_text()
    (stack.tree / "compose.yml").write_text(compose + "\nnonsense: 1\n")
    try:
        wrong = failures(checked(stack))
    finally:
        (stack.tree / "compose.yml").write_text(compose)
    assert "nonsense" in wrong["docker compose config is valid"]


def test_a_syntax_error_cannot_become_an_image(stack: Stack, tmp_path: Path) -> None:
    copy_tree(tmp_path)
    (tmp_path / "backend/apps/ai/broken.py").write_text("def broken(:\n")
    done = subprocess.run(
        ["docker", "build", "--target", "production", "--file", "backend/Dockerfile", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(tmp_path)
    assert done.returncode != 0
    assert "SyntaxError" in done.stderr


def test_an_idle_stack_is_far_below_its_alarms(stack: Stack) -> None:
    config = json.loads(stack.compose("config", "--format", "json"))
    alarms = {
        name: int(service["labels"][ALARM])
        for name, service in config["services"].items()
        if "labels" in service
    }
    assert set(alarms) == {"backend", "celery-worker", "celery-worker-billing", "celery-beat"}
    for name, alarm in alarms.items():
        used = stack.compose("exec", "-T", name, "sh", "-c", USED_BYTES)
        assert 0 < int(used) < alarm * 1024**2 / 2, name
