"""`migrate`, as the owner of the tables and one process at a time."""

from typing import Any

from django.core.management.commands.migrate import Command as DjangoCommand
from django.db import connections

from apps.operations.startup import as_owner, migration_lock
from config.settings.base import env

LOCK_TIMEOUT = "5s"


class Command(DjangoCommand):
    help = "Apply committed migrations, as the owner of the tables, under a database lock."

    def handle(self, *args: Any, **options: Any) -> None:
        with (
            migration_lock(seconds=env.integer("STARTUP_WAIT_SECONDS")),
            as_owner(options["database"]),
        ):
            self._connection = connections[options["database"]]
            self._drop_invalid_indexes()
            super().handle(*args, **options)

    def migration_progress_callback(self, action: str, *args: Any, **options: Any) -> None:
        """A table is waited for briefly, since all wait behind the waiting; but an index that
        is built concurrently blocks nobody, and waits for every older transaction."""
        if action in ("apply_start", "unapply_start"):
            patience = LOCK_TIMEOUT if args[0].atomic else "0"
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [patience])
        super().migration_progress_callback(action, *args, **options)

    def _drop_invalid_indexes(self) -> None:
        """What a concurrent build that was cut off left behind would fail the next one."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON oid = indexrelid "
                "WHERE NOT indisvalid AND relnamespace = 'public'::regnamespace"
            )
            for (index,) in cursor.fetchall():
                self.stdout.write(f"dropping {index}, whose building was cut off")
                cursor.execute(f"DROP INDEX CONCURRENTLY {index}")
