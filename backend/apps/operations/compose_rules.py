"""What the merged Compose files must hold to; standard library only.

    docker compose config --format json | python -m apps.operations.compose_rules

Exits with 1 where something is wrong, and says what.
"""

import ipaddress
import json
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

Config = dict[str, Any]

COMMANDS = ("gunicorn", "celery")
ALARM = "eatfit24.memory-alarm-mb"
MEGABYTE = 1024**2
LARGEST_SERVER_MB = 8 * 1024
"""All limits together fit into a server of this size."""


def ours(config: Config) -> dict[str, Any]:
    """The services that run our image."""
    services: dict[str, Any] = config["services"]
    image = services["backend"]["image"]
    return {name: service for name, service in services.items() if service["image"] == image}


def command_problems(config: Config) -> Iterator[str]:
    """The entrypoint tells the role from the command, and prepares nothing for another."""
    for name, service in ours(config).items():
        command = service.get("command") or ["nothing"]
        if PurePosixPath(command[0]).name not in COMMANDS:
            yield f"{name} runs {command[0]}: takes {' or '.join(COMMANDS)}"
        if service.get("entrypoint"):
            yield f"{name} has an entrypoint of its own: takes the image's"


def port_problems(config: Config) -> Iterator[str]:
    for name, service in config["services"].items():
        for port in service.get("ports") or ():
            address = port.get("host_ip") or "0.0.0.0"  # noqa: S104 (which is what is refused)
            if name != "frontend" and not ipaddress.ip_address(address).is_loopback:
                published = port.get("published", "any port")
                yield f"{name} publishes {published} on {address}: the frontend alone may"
        if service.get("network_mode") == "host":
            yield f"{name} is on the host's own network: takes none of its ports"


def limit_of(service: Config) -> int:
    """Bytes; 0 where there is no limit."""
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    return int(limits.get("memory", 0))


def memory_problems(config: Config) -> Iterator[str]:
    services, own = config["services"], ours(config)
    for name, service in services.items():
        limit, alarm = limit_of(service), (service.get("labels") or {}).get(ALARM)
        if not limit:
            yield f"{name} has no memory limit"
        elif name in own and alarm is None:
            yield f"{name} has no label {ALARM}"
        elif alarm is not None and int(alarm) * MEGABYTE >= limit:
            yield f"{name}: the alarm at {alarm} MB is not below its limit, {_mb(limit)}"
    total = sum(map(limit_of, services.values()))
    if total > LARGEST_SERVER_MB * MEGABYTE:
        yield f"the limits together are {_mb(total)}, more than {LARGEST_SERVER_MB} MB"


def memory_needed(config: Config, *, first: bool) -> int:
    """Bytes that the host must have free: for one more backend, or at first for everything."""
    services = config["services"].values() if first else [config["services"]["backend"]]
    return sum(map(limit_of, services))


def _mb(number: int) -> str:
    return f"{number // MEGABYTE} MB"


def main() -> int:
    config = json.load(sys.stdin)
    problems = [
        problem
        for problems in (command_problems, port_problems, memory_problems)
        for problem in problems(config)
    ]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
