"""What the entrypoint runs before it becomes Gunicorn or Celery."""

import logging
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from apps.operations.startup import GaveUp, Refused, prepare_celery, prepare_web
from config.settings.base import env

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Wait for what a role needs, and prepare it."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", choices=["web", "worker", "beat"])

    def handle(self, *args: Any, role: str, **options: Any) -> None:
        seconds = env.integer("STARTUP_WAIT_SECONDS")
        try:
            if role == "web":
                prepare_web(
                    migrate=env.flag("RUN_MIGRATIONS"),
                    strict=env.flag("MIGRATIONS_STRICT"),
                    collect_static=env.flag("RUN_COLLECTSTATIC"),
                    seconds=seconds,
                )
            else:
                prepare_celery(seconds=seconds)
        except (GaveUp, Refused, DatabaseError, psycopg.Error) as error:
            raise CommandError(f"{role} cannot start: {error}") from error
