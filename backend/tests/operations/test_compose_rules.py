"""What the merged Compose files must hold to, broken one way after the other."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from apps.operations.compose_rules import memory_needed
from tests.processes import BACKEND

Config = dict[str, Any]
GIGABYTE = 1024**3


def service(image: str = "ours:1", **more: Any) -> Config:
    limits = {"memory": str(GIGABYTE)}  # as `docker compose config` prints it
    return {"image": image, "deploy": {"resources": {"limits": limits}}, **more}


LABEL = "eatfit24.memory-alarm-mb"
ALARM = {LABEL: "700"}
SOUND: Config = {
    "services": {
        "backend": service(command=["gunicorn", "config.wsgi"], labels=ALARM),
        "celery-beat": service(command=["/app/.venv/bin/celery", "beat"], labels=ALARM),
        "db": service("postgres:17", ports=[{"host_ip": "127.0.0.1", "published": "5432"}]),
        "frontend": service("nginx:1", ports=[{"published": "3000"}]),
    }
}


def said(config: Config) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "apps.operations.compose_rules"],
        cwd=BACKEND,
        input=json.dumps(config),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == (1 if done.stdout else 0)
    return done.stdout.splitlines()


def test_what_is_sound() -> None:
    assert said(SOUND) == []


def change(path: str, value: Any) -> Callable[[Config], None]:
    def apply(services: Config) -> None:
        *parents, last = path.split(".")
        place = services
        for parent in parents:
            place = place[parent]
        place[last] = value

    return apply


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (change("backend.command", ["sh", "-c", "gunicorn"]), "backend runs sh: takes"),
        (change("backend.command", ["python", "-m", "gunicorn"]), "backend runs python: takes"),
        (change("backend.command", None), "backend runs nothing: takes"),
        (change("celery-beat.command", ["/bin/celery-beat"]), "celery-beat runs /bin/celery-beat"),
        (change("celery-beat.entrypoint", ["sh"]), "celery-beat has an entrypoint of its own"),
        (change("db.ports", [{"published": "5432"}]), "db publishes 5432 on 0.0.0.0"),
        (change("db.ports", [{"target": 5432}]), "db publishes any port on 0.0.0.0"),
        (change("db.ports", [{"published": "5432", "host_ip": "::"}]), "db publishes 5432 on ::"),
        (change("db.ports", [{"published": "1", "host_ip": "10.0.0.1"}]), "1 on 10.0.0.1"),
        (change("db.network_mode", "host"), "db is on the host's own network"),
        (change("db.deploy", {}), "db has no memory limit"),
        (change("backend.labels", None), "backend has no label eatfit24.memory-alarm-mb"),
        (change("backend.labels", {LABEL: "1024"}), "the alarm at 1024 MB is not below"),
        (change("db.deploy.resources.limits.memory", str(9 * GIGABYTE)), "together are 12288 MB"),
    ],
)
def test_what_is_refused(broken: Callable[[Config], None], says: str) -> None:
    config = copy.deepcopy(SOUND)
    broken(config["services"])
    (line,) = said(config)
    assert says in line


def test_a_first_deploy_needs_room_for_all_and_a_later_one_for_another_backend() -> None:
    assert memory_needed(SOUND, first=True) == 4 * GIGABYTE
    assert memory_needed(SOUND, first=False) == GIGABYTE
