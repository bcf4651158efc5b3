"""Can earlier code read today's schema? Asked by the roll-back, of both releases."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.migrations.loader import MigrationLoader


class Command(BaseCommand):
    help = (
        "known: print every migration of this code. blocking: of those that are not on standard "
        "input, print the ones marked `breaks_earlier_code = True`."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("which", choices=["known", "blocking"])

    def handle(self, *args: Any, which: str, **options: Any) -> None:
        migrations = MigrationLoader(None, ignore_no_migrations=True).disk_migrations or {}
        names = {f"{app}.{name}": migration for (app, name), migration in migrations.items()}
        if which == "blocking":
            known = set(sys.stdin.read().split())
            names = {
                name: migration
                for name, migration in names.items()
                if name not in known and getattr(migration, "breaks_earlier_code", False)
            }
        for name in sorted(names):
            self.stdout.write(name)
