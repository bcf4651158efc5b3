"""The database as deployments see it: reachable, migrated, and by whom it is changed."""

from functools import cache
from typing import Any, LiteralString

import psycopg
from django.conf import settings
from django.db.migrations.loader import MigrationLoader


def open_connection(**options: Any) -> "psycopg.Connection[Any]":
    """A connection of its own, beside the pool: autocommit, with bounded waits.

    `options` are libpq's, or PostgreSQL settings such as `role` and `statement_timeout`.
    """
    database = settings.DATABASES["default"]
    connect_timeout = options.pop("connect_timeout", 3)
    return psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        dbname=database["NAME"],
        user=database["USER"],
        password=database["PASSWORD"],
        connect_timeout=connect_timeout,
        options=" ".join(f"-c {name}={value}" for name, value in options.items()),
        application_name=f"eatfit24-{settings.RELEASE}",
        autocommit=True,
    )


@cache
def known_migrations() -> frozenset[tuple[str, str]]:
    """Every migration that this code knows."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    assert loader.disk_migrations is not None
    return frozenset(loader.disk_migrations)


_APPLIED: LiteralString = "SELECT app, name FROM django_migrations"


def missing_migrations(connection: "psycopg.Connection[Any]") -> frozenset[tuple[str, str]]:
    """Those of this code's migrations that the database has not got."""
    if connection.execute("SELECT to_regclass('django_migrations')").fetchone() == (None,):
        return known_migrations()
    applied = {(row[0], row[1]) for row in connection.execute(_APPLIED)}
    return known_migrations() - applied
