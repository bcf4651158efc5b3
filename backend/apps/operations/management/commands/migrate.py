"""`migrate`, as the owner of the tables and one process at a time."""

from typing import Any

from django.core.management.commands.migrate import Command as DjangoCommand

from apps.operations.startup import as_owner, migration_lock
from config.settings.base import env


class Command(DjangoCommand):
    help = "Apply committed migrations, as the owner of the tables, under a database lock."

    def handle(self, *args: Any, **options: Any) -> None:
        with (
            migration_lock(seconds=env.integer("STARTUP_WAIT_SECONDS")),
            as_owner(options["database"]),
        ):
            super().handle(*args, **options)
