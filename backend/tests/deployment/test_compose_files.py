"""The Compose files by themselves: hardened, bounded, and one source of truth."""

import re
from pathlib import Path
from typing import Any

import pytest

from config.celery import QUEUES
from tests.compose import load_compose
from tests.processes import ROOT

PRODUCTION = load_compose(ROOT / "compose.yml")
DEVELOPMENT = load_compose(ROOT / "compose.dev.yml")
SERVICES: dict[str, dict[str, Any]] = PRODUCTION["services"]
APPLICATION = ("backend", "celery-worker", "celery-worker-billing", "celery-beat")
TEXTS = {name: (ROOT / name).read_text() for name in ("compose.yml", "compose.dev.yml")}

WRITABLE = {
    "db": ["wal:/var/lib/postgresql", "db:/var/lib/postgresql/data"],
    "backend": ["photos:/srv/photos"],
    "celery-worker": ["photos:/srv/photos"],
}

each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_services_are_these() -> None:
    assert set(SERVICES) == {"db", "redis", "frontend", *APPLICATION}


def test_there_are_two_compose_files() -> None:
    found = {path.name for path in ROOT.iterdir() if re.search(r"compose.*\.ya?ml$", path.name)}
    assert found == set(TEXTS)


@each_service
def test_a_container_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    user, group = str(service["user"]).split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert not [mount for mount in service.get("volumes", []) if "docker.sock" in mount]
    for mount in service.get("volumes", []):
        assert mount.endswith((":ro", ":ro,nocopy")) or mount in WRITABLE[name], mount


@each_service
def test_a_container_is_bounded_watched_and_started_again(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert re.fullmatch(r"\d+[MG]", limits["memory"])
    assert 0 < float(limits["cpus"]) <= 2
    assert 0 < limits["pids"] <= 500
    assert service["init"] is True
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])
    logging = service["logging"]
    assert logging["driver"] == "json-file"
    assert set(logging["options"]) == {"max-size", "max-file"}


def test_the_containers_fit_into_a_small_server() -> None:
    amounts = [service["deploy"]["resources"]["limits"]["memory"] for service in SERVICES.values()]
    total = sum(int(text[:-1]) * (1024 if text[-1] == "G" else 1) for text in amounts)
    assert total <= 8 * 1024


def test_the_frontend_alone_publishes() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    people = "${PUBLIC_ADDRESS:+${PUBLIC_ADDRESS:-}:}${PUBLIC_PORT:-3000}:8080"
    assert published == {"frontend": [people, "127.0.0.1:${CHECK_PORT:-8000}:8081"]}
    assert not [name for name, service in SERVICES.items() if "network_mode" in service]


@pytest.mark.parametrize("file", TEXTS)
def test_nothing_is_named_or_pinned_past_the_project(file: str) -> None:
    loaded = load_compose(ROOT / file)
    assert "container_name" not in TEXTS[file]
    assert "@sha256" not in TEXTS[file]
    assert "env_file" not in TEXTS[file]
    assert "name" not in loaded, "COMPOSE_PROJECT_NAME names the project"
    for kind in ("volumes", "networks"):
        assert not [key for key, value in loaded.get(kind, {}).items() if "name" in (value or {})]


def test_every_image_has_a_version() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":(\d|\$\{RELEASE)", service["image"]), name


def test_who_reaches_whom() -> None:
    assert {name: set(service["networks"]) for name, service in SERVICES.items()} == {
        "frontend": {"public", "edge", "handover"},
        "backend": {"edge", "data", "outbound"},
        "celery-worker": {"data", "outbound"},
        "celery-worker-billing": {"data", "outbound"},
        "celery-beat": {"data"},
        "db": {"data"},
        "redis": {"data"},
    }
    networks = PRODUCTION["networks"]
    internal = {name for name, options in networks.items() if options.get("internal")}
    assert internal == {"edge", "data", "handover"}
    assert set(networks) - internal == {"public", "outbound"}


@pytest.mark.parametrize("name", APPLICATION)
def test_an_application_service_runs_one_image_through_one_entrypoint(name: str) -> None:
    service = SERVICES[name]
    assert service["image"] == SERVICES["backend"]["image"]
    assert service["command"][0] == ("gunicorn" if name == "backend" else "celery")
    assert "entrypoint" not in service
    role = "web" if name == "backend" else "heartbeat"
    assert service["healthcheck"]["test"] == ["CMD", "/app/healthcheck.sh", role]
    waits_for = {on: how["condition"] for on, how in service["depends_on"].items()}
    assert waits_for == {"db": "service_healthy", "redis": "service_healthy"}


def served(name: str) -> set[str]:
    command = SERVICES[name]["command"]
    return set(command[command.index("-Q") + 1].split(","))


def test_every_queue_is_served_and_money_has_a_lane() -> None:
    assert served("celery-worker") == set(QUEUES) == {"ai", "billing", "default"}
    assert served("celery-worker-billing") == {"billing"}
    assert SERVICES["celery-beat"]["command"][-1] == "beat"


def test_a_check_comes_to_an_end_before_the_next_and_after_the_start() -> None:
    """healthcheck.sh itself takes up to 3 s; a start may wait for STARTUP_WAIT_SECONDS."""
    from config.contract import BY_NAME

    for name in APPLICATION:
        check = {key: text for key, text in SERVICES[name]["healthcheck"].items() if key != "test"}
        seconds = {key: int(str(text).removesuffix("s")) for key, text in check.items()}
        assert 3 < seconds["timeout"] <= seconds["interval"]
        assert seconds["start_period"] > int(BY_NAME["STARTUP_WAIT_SECONDS"].default)


def test_redis_keeps_nothing_and_postgres_keeps_everything() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--save  --appendonly no" in command
    assert "--maxmemory-policy noeviction" in command
    assert "volumes" not in SERVICES["redis"]
    assert "db:/var/lib/postgresql/data" in SERVICES["db"]["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        # What a deploy or the operator may put there; Docker makes the directory.
        optional = mount.startswith(("./.state/", "${TLS_DIR:-./.state/"))
        assert optional or source in PRODUCTION["volumes"] or Path(ROOT / source).exists(), mount


def test_development_overrides_and_adds_no_service() -> None:
    assert set(DEVELOPMENT["services"]) <= set(SERVICES)
    assert not {"networks", "volumes"} & set(DEVELOPMENT)
    for name, service in DEVELOPMENT["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "on loopback alone"
        assert ("develop" in service) is (name in APPLICATION)
        assert not {"command", "entrypoint", "cap_drop", "cap_add", "privileged"} & set(service)
        assert service.get("user") in (None, "app"), "not root"


def test_debugging_is_developments_alone() -> None:
    assert "DEBUGPY" not in TEXTS["compose.yml"]
    for name in APPLICATION:
        assert SERVICES[name]["environment"]["DEBUG"] == "${DEBUG:-}", "from .env, unset there"
    assert "DEBUG=" not in (ROOT / ".env.example").read_text()
    debugger = DEVELOPMENT["services"]["backend"]
    assert debugger["environment"]["DEBUGPY_PORT"] == debugger["ports"][0].rsplit(":", 1)[1]
