"""Which release may claim jobs."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.jobs.models import CurrentRelease
from apps.jobs.services import record_release


class Command(BaseCommand):
    help = "Show the release whose workers claim jobs, or record another one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("release", nargs="?")

    def handle(self, *args: Any, release: str | None, **options: Any) -> None:
        if release:
            record_release(release=release)
        current = CurrentRelease.objects.first()
        self.stdout.write(current.release if current else "none: every worker claims")
