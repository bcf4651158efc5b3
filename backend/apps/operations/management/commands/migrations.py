"""Migrations by themselves: asked by the roll-back, the gates of CI, and before a deploy."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.migrations.loader import MigrationLoader

from apps.operations.migration_rules import lint


class Command(BaseCommand):
    help = (
        "known: print every migration of this code. blocking: of those that are not on standard "
        "input, print the ones marked `breaks_earlier_code = True`. lint: print what would lock "
        "tables that are in use, break the earlier release or cannot be undone."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("which", choices=["known", "blocking", "lint"])

    def handle(self, *args: Any, which: str, **options: Any) -> None:
        if which == "lint":
            found = lint()
            for finding in found:
                self.stdout.write(str(finding))
            if found:
                raise CommandError(f"{len(found)} findings: mend them, or mark them with a reason")
            return
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
