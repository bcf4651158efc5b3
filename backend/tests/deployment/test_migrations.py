"""Every migration goes down as well as up, one by one, and leaves no trace."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration, RunSQL
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

Key = tuple[str, str]

# Whatever has a name in the schema, with what is said of it.
SCHEMA = """
SELECT 'column', format('%s.%s', table_name, column_name),
       concat_ws(' ', data_type, character_maximum_length, numeric_precision, numeric_scale,
                 is_nullable, column_default, is_identity, is_generated, generation_expression)
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'constraint', format('%s.%s', conrelid::regclass, conname),
       concat_ws(' ', pg_get_constraintdef(oid), convalidated)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'trigger', format('%s.%s', tgrelid::regclass, tgname), pg_get_triggerdef(oid)
  FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'function', oid::regprocedure::text, prosrc
  FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'sequence', sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public'
"""


@pytest.fixture
def connection(
    empty_database: str, django_db_blocker: pytest.FixtureRequest
) -> Iterator[BaseDatabaseWrapper]:
    """To a database of its own, by Django."""
    alias = "both_ways"
    connections.databases[alias] = {**connections.databases["default"], "NAME": empty_database}
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        yield connections[alias]
        connections[alias].close()
    del connections[alias]
    del connections.databases[alias]


def schema_of(connection: BaseDatabaseWrapper) -> set[tuple[str, str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        return {(kind, name, said) for kind, name, said in cursor.fetchall()}


class Watched(MigrationExecutor):
    """Notes the schema before and after each migration, and compares it when one is undone."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self.before: dict[Key, Any] = {}
        self.after: dict[Key, Any] = {}
        self.undone: list[Key] = []

    def apply_migration(self, state: Any, migration: Migration, *args: Any, **options: Any) -> Any:
        key = (migration.app_label, migration.name)
        before = schema_of(self.connection)
        assert before == self.before.setdefault(key, before), f"before {key}, again"
        state = super().apply_migration(state, migration, *args, **options)
        after = schema_of(self.connection)
        assert after == self.after.setdefault(key, after), f"after {key}, again"
        return state

    def unapply_migration(
        self, state: Any, migration: Migration, *args: Any, **options: Any
    ) -> Any:
        key = (migration.app_label, migration.name)
        state = super().unapply_migration(state, migration, *args, **options)
        assert schema_of(self.connection) == self.before[key], f"{key} left something behind"
        self.undone.append(key)
        return state


def test_every_migration_goes_up_and_down_and_up_again(connection: BaseDatabaseWrapper) -> None:
    executor = Watched(connection)
    leaves = executor.loader.graph.leaf_nodes()
    plan = executor.migration_plan(leaves)
    assert len(plan) > 30
    executor.migrate(leaves)
    executor.loader.build_graph()
    executor.migrate(leaves, plan=[(migration, True) for migration, _ in reversed(plan)])
    assert len(executor.undone) == len(plan)
    executor.loader.build_graph()
    executor.migrate(leaves)


def test_a_migration_that_leaves_something_behind_is_seen(connection: BaseDatabaseWrapper) -> None:
    kind = type(
        "Migration",
        (Migration,),
        {"operations": [RunSQL("CREATE TABLE left_over (id int)", RunSQL.noop)]},
    )
    executor, untidy = Watched(connection), kind("0999_untidy", "operations")
    executor.recorder.ensure_schema()
    executor.apply_migration(ProjectState(), untidy)
    with pytest.raises(AssertionError, match="left something behind"):
        executor.unapply_migration(ProjectState(), untidy)
