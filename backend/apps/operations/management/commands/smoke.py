"""The part of the smoke test that looks from inside: consumers, Redis databases, a round trip."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import redis
from celery import current_app
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError
from kombu.exceptions import OperationalError

from apps.jobs import broker
from apps.jobs.models import Job, Probe
from apps.jobs.services import submit_job
from config.celery import QUEUES

ROUND_TRIP_SECONDS = 30.0

Line = tuple[str, bool, str]


class Command(BaseCommand):
    help = (
        "Print ok or FAILED, what, and a detail, by tabs: consumers, Redis databases, round trips."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--broker-database", type=int, help="number that the environment names")
        parser.add_argument("--result-database", type=int, help="number that the environment names")

    def handle(self, *args: Any, **options: Any) -> None:
        for name, check in (
            ("consumers", consumers()),
            ("redis", redis_databases(options["broker_database"], options["result_database"])),
            ("round trip", round_trip()),
        ):
            try:
                lines = list(check)
            except (redis.RedisError, OperationalError, DatabaseError, OSError) as error:
                lines = [(name, False, f"{type(error).__name__}: {error}")]
            for what, ok, detail in lines:
                self.stdout.write(f"{'ok' if ok else 'FAILED'}\t{what}\t{' '.join(detail.split())}")


def consumers() -> Iterator[Line]:
    answers = current_app.control.inspect(timeout=3.0).active_queues() or {}
    for queue in QUEUES:
        workers = sorted(
            name for name, served in answers.items() if queue in {entry["name"] for entry in served}
        )
        yield f"queue {queue} has a consumer", bool(workers), ", ".join(workers) or "nobody"


def redis_databases(broker_number: int | None, result_number: int | None) -> Iterator[Line]:
    """Where workers really wait for messages, by Redis' own list of its clients."""
    clients: Any = broker.client().client_list(_type="normal")
    used = {client["db"] for client in clients if client["cmd"] == "brpop"}
    for name, url, number in (
        ("broker", settings.CELERY_BROKER_URL, broker_number),
        ("results", settings.CELERY_RESULT_BACKEND, result_number),
    ):
        own = int(urlsplit(url).path.lstrip("/"))
        wanted = own if number is None else number
        ok = own == wanted and (name == "results" or used == {str(wanted)})
        seen = f"configured {own}" + (f", consumed {sorted(used)}" if name == "broker" else "")
        yield f"Redis database of the {name} is {wanted}", ok, seen


def round_trip() -> Iterator[Line]:
    started = time.monotonic()
    probes = [submit_job(job=Probe(queue=queue)) for queue in QUEUES]
    waiting = {probe.pk: probe.queue for probe in probes}
    while waiting and time.monotonic() < started + ROUND_TRIP_SECONDS:
        done = Probe.objects.filter(pk__in=waiting, status=Job.Status.DONE)
        for pk in done.values_list("pk", flat=True):
            milliseconds = (time.monotonic() - started) * 1000
            yield f"a job on {waiting.pop(pk)} is done", True, f"{milliseconds:.0f} ms"
        time.sleep(0.02)
    for queue in waiting.values():
        yield f"a job on {queue} is done", False, f"not within {ROUND_TRIP_SECONDS:g} s"
