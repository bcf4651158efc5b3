"""The checks before a deploy that are answered from inside the image to be deployed."""

import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import cache_from_source
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.db.models.functions import Now
from django.utils import translation

from apps.jobs.models import Job, job_models
from apps.operations import compose_rules
from apps.operations.clocks import time_problems
from apps.operations.migration_rules import lint
from apps.operations.packages import installed_problems, lock_problems
from apps.operations.schema import open_connection
from config import contract
from config.variables import ROLES

OK, FAILED, WARNING = "ok", "FAILED", "warning"
MOST_TOLD = 5
FAILED_LONGER_THAN = timedelta(hours=1)
WAL_BYTES = 1024**3
"""PostgreSQL's own max_wal_size: what it may keep before it looks back."""

Line = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """What the server says of itself; sizes in bytes."""

    compose: compose_rules.Config
    environment: str
    first: bool = False
    image_bytes: int = 0
    database_bytes: int = 0
    project: Path = field(default_factory=lambda: settings.BASE_DIR)


def check_deploy(deploy: Deploy) -> Iterator[Line]:
    """Every check, whatever the others say: result, what holds, what was found."""
    project, compose = deploy.project, deploy.compose
    for what, problems in {
        "the environment holds to the contract": lambda: environment_problems(deploy.environment),
        "every change of a model has its migration": migration_problems,
        "migrations lock nothing and break nothing unmarked": lambda: map(str, lint()),
        "commands begin with celery or gunicorn": lambda: compose_rules.command_problems(compose),
        "the frontend alone may be published": lambda: compose_rules.port_problems(compose),
        "uv.lock matches pyproject.toml": lambda: lock_problems(project),
        "what is installed is what uv.lock says": lambda: installed_problems(project),
        "all Python compiles, and has its bytecode": lambda: code_problems(project),
        "manage.py check --deploy finds nothing": deployment_problems,
        "memory has limits, and alarms below them": lambda: compose_rules.memory_problems(compose),
    }.items():
        yield _said(what, problems)
    needed = compose_rules.memory_needed(compose, first=deploy.first)
    yield _room("memory", available_memory(), needed)
    yield _room("disk for images and the database", available_disk(), disk_needed(deploy))
    if not deploy.first:
        yield _said("clocks and time zones agree", clock_problems)
        yield _said("no job failed more than an hour ago", dead_letters, WARNING)


def _said(what: str, problems: Callable[[], Iterable[str]], otherwise: str = FAILED) -> Line:
    try:
        found = list(problems())
    except Exception as error:  # a database that is away, files that nobody thought of
        found = [f"it could not be told: {type(error).__name__}: {error}"]
    if not found:
        return OK, what, ""
    more = f" … and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
    return otherwise, what, "; ".join(found[:MOST_TOLD]) + more


def _room(what: str, available: int, needed: int) -> Line:
    detail = f"{available // 1024**2} MB are available, {needed // 1024**2} MB are needed"
    return (OK if available >= needed else FAILED, f"the host has room: {what}", detail)


def environment_problems(text: str) -> Iterator[str]:
    try:
        contract.check(contract.parse(text), *ROLES, every=True)
    except contract.ContractError as error:
        yield from map(str, error.problems)


def migration_problems() -> Iterator[str]:
    loader = MigrationLoader(None, ignore_no_migrations=True)
    with translation.override(None):  # names as the migrations hold them
        models = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps))
        changes = models.changes(graph=loader.graph)
    for app, migrations in changes.items():
        for migration in migrations:
            for operation in migration.operations:
                yield f"{app}: {operation.describe()}"


def deployment_problems() -> Iterator[str]:
    try:
        call_command("check", deploy=True, fail_level="WARNING", stderr=io.StringIO())
    except CommandError as error:
        yield " ".join(str(error).split())


def code_problems(project: Path) -> Iterator[str]:
    """Nothing is written: the image may be read-only."""
    for path in sorted(project.rglob("*.py")):
        if any(part.startswith(".") for part in path.relative_to(project).parts):
            continue
        try:
            compile(path.read_bytes(), str(path), "exec")
        except (SyntaxError, ValueError) as error:
            yield f"{path.relative_to(project)}: {error}"
        else:
            if not Path(cache_from_source(str(path))).exists():
                yield f"{path.relative_to(project)}: there is no bytecode"


def available_memory() -> int:
    """Of the host, which a container sees as it is."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(kilobytes) * 1024


def available_disk() -> int:
    """Where the engine keeps images, volumes and containers: this container's own root."""
    place = os.statvfs("/")
    return place.f_bavail * place.f_frsize


def disk_needed(deploy: Deploy) -> int:
    """For the next image, a copy of the database that a restore makes, and WAL."""
    return deploy.image_bytes + deploy.database_bytes + WAL_BYTES


def clock_problems() -> Iterator[str]:
    with open_connection() as connection:
        yield from time_problems(connection)


def dead_letters() -> Iterator[str]:
    for model in job_models():
        dead = model._default_manager.filter(
            status=Job.Status.FAILED,
            handled_at=None,
            finished_at__lt=Now() - FAILED_LONGER_THAN,
        ).count()
        if dead:
            yield f"{dead} of {model._meta.label} (manage.py jobs list)"
