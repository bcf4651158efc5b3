"""What is right by itself, but not beside the other variables of the contract."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from config.kinds import Value
from config.variables import PRODUCTION, VARIABLES

PLACEHOLDERS = re.compile(
    r"change-?me|placeholder|django-insecure|development|^your-|^<.*>$|^x+$", re.IGNORECASE
)
SECRET_LENGTH = 50  # as Django's own deployment check


@dataclass(frozen=True)
class Problem:
    name: str
    got: str
    takes: str

    def __str__(self) -> str:
        return f"{self.name}: got {self.got}; {self.takes}"


def problems_together(values: Mapping[str, Value | None], role: str | None) -> Iterator[Problem]:
    """What is right by itself, but not beside the others."""
    yield from _shop_problems(values)
    yield from _storage_problems(values)
    if role in (None, "worker"):
        yield from _pool_problems(values)
    if role == "worker":
        yield from _provider_problems(values)
    if values["DJANGO_SETTINGS_MODULE"] == PRODUCTION:
        yield from _production_problems(values)


WIDEST = {4: 16, 6: 32}
"""The shortest prefix by which a provider's notifications are known, by version of IP."""


def _networks(value: Value | None) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(text) for text in value] if isinstance(value, tuple) else []


def _production_problems(values: Mapping[str, Value | None]) -> Iterator[Problem]:
    if values["DEBUG"]:
        yield Problem("DEBUG", "'1'", "takes 0 in production")
    if values["DEBUGPY_PORT"] is not None:
        yield Problem("DEBUGPY_PORT", repr(str(values["DEBUGPY_PORT"])), "is unset in production")
    address = values["YOOKASSA_API_URL"]
    if isinstance(address, str) and not address.startswith("https://"):
        takes = "takes https in production: the secret key travels with every call"
        yield Problem("YOOKASSA_API_URL", repr(address), takes)
    for network in _networks(values["YOOKASSA_NOTIFICATION_NETWORKS"]):
        if network.prefixlen < WIDEST[network.version]:
            takes = "takes the provider's networks in production, not half the world"
            yield Problem("YOOKASSA_NOTIFICATION_NETWORKS", repr(str(network)), takes)
    hosts = values["ALLOWED_HOSTS"]
    if isinstance(hosts, tuple) and any("*" in host for host in hosts):
        yield Problem("ALLOWED_HOSTS", repr(",".join(hosts)), "takes no wildcard in production")
    for variable in VARIABLES:
        value = values[variable.name]
        if not variable.secret or value is None:
            continue
        for text in value if isinstance(value, tuple) else (str(value),):
            if PLACEHOLDERS.search(text):
                yield Problem(variable.name, "a placeholder", "takes a secret of its own")
            elif variable.name.startswith("SECRET_KEY") and len(text) < SECRET_LENGTH:
                yield Problem(
                    variable.name,
                    f"{len(text)} characters",
                    f"takes at least {SECRET_LENGTH} in production: openssl rand -hex 32",
                )


PREFORK_ALONE = (
    "CELERY_WORKER_AUTOSCALER",
    "CELERY_WORKER_AUTOSCALER_MIN",
    "CELERY_WORKER_AUTOSCALER_MAX",
    "CELERY_TASK_TIME_LIMIT",
    "CELERY_WORKER_MAX_MEMORY_MB",
    "CELERY_WORKER_MAX_TASKS",
)


def _storage_problems(values: Mapping[str, Value | None]) -> Iterator[Problem]:
    if values["PHOTO_STORAGE"] != "s3":
        return
    for name in ("S3_ENDPOINT_URL", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY"):
        if values[name] is None:
            yield Problem(name, "nothing", "is required with PHOTO_STORAGE=s3")


def _pool_problems(values: Mapping[str, Value | None]) -> Iterator[Problem]:
    """What the chosen pool would silently ignore."""
    if values["CELERY_WORKER_POOL"] is None:
        return  # not one that can be chosen
    if values["CELERY_WORKER_POOL"] != "prefork":
        for name in PREFORK_ALONE:
            if values[name]:
                takes = "is ignored by threads: takes CELERY_WORKER_POOL=prefork"
                yield Problem(name, repr(str(int(values[name]))), takes)  # type: ignore[arg-type]
        return
    if values["CELERY_TASK_TIME_LIMIT"] is None:
        takes = "is required with prefork: nothing else ends a job that hangs"
        yield Problem("CELERY_TASK_TIME_LIMIT", "nothing", takes)
    fewest, most = (values[f"CELERY_WORKER_AUTOSCALER_{bound}"] for bound in ("MIN", "MAX"))
    for name, value in (("MIN", fewest), ("MAX", most)):
        if values["CELERY_WORKER_AUTOSCALER"] and value is None:
            takes = "is required with CELERY_WORKER_AUTOSCALER=1"
            yield Problem(f"CELERY_WORKER_AUTOSCALER_{name}", "nothing", takes)
        elif value is not None and not values["CELERY_WORKER_AUTOSCALER"]:
            takes = "is ignored without CELERY_WORKER_AUTOSCALER=1"
            yield Problem(f"CELERY_WORKER_AUTOSCALER_{name}", repr(str(value)), takes)
    if isinstance(fewest, int) and isinstance(most, int) and fewest > most:
        takes = f"takes at most CELERY_WORKER_AUTOSCALER_MAX, which is {most}"
        yield Problem("CELERY_WORKER_AUTOSCALER_MIN", repr(str(fewest)), takes)


def _shop_problems(values: Mapping[str, Value | None]) -> Iterator[Problem]:
    pair = ("YOOKASSA_SHOP_ID", "YOOKASSA_SECRET_KEY")
    for name, other in (pair, pair[::-1]):
        if values[name] is not None and values[other] is None:
            yield Problem(name, "a value", f"takes {other} beside it")


def _provider_problems(values: Mapping[str, Value | None]) -> Iterator[Problem]:
    """A provider that could not be asked."""
    url, secret = values["AI_PROXY_URL"], values["AI_PROXY_SECRET"]
    if (url is None) != (secret is None):
        missing, given = ("URL", "SECRET") if url is None else ("SECRET", "URL")
        takes = f"is required with AI_PROXY_{given}"
        yield Problem(f"AI_PROXY_{missing}", "nothing", takes)
    elif values["AI_PROVIDER"] == "openrouter" and not (url or values["OPENROUTER_API_KEY"]):
        takes = "is required with AI_PROVIDER=openrouter, unless AI_PROXY_URL is given"
        yield Problem("OPENROUTER_API_KEY", "nothing", takes)
