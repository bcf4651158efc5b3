"""What a migration may do while people use the service and the earlier release still runs.

Judged by its operations alone; nothing is connected to. A table that the migration itself
creates is nobody's yet, so anything may be done to it. A migration that must break a rule says so:

    breaks_earlier_code = True            no roll-back past it (scripts/rollback.sh refuses)
    accepted = {"locks": "30 rows"}       a rule, and why it may be broken here
"""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.contrib.postgres.operations import ValidateConstraint as Validate
from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models.expressions import Value
from django.db.models.fields import AutoFieldMixin
from django.db.models.functions import Now

LOCKS, BREAKS, ONE_WAY = "locks", "breaks earlier code", "irreversible"
ACCEPTABLE = (LOCKS, ONE_WAY)

INDEX = "nobody can write while its index is built"
WIDER = {
    ("smallint", "integer"),
    ("smallint", "bigint"),
    ("integer", "bigint"),
}
SIZED = re.compile(r"(?P<kind>varchar|numeric)\((?P<size>\d+)(?:, ?(?P<scale>\d+))?\)")
NO_CHECK = re.compile(r"\bNOT\s+VALID\b", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    migration: str
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.migration}: {self.rule}: {self.text}"


def lint() -> list[Finding]:
    """Look at every migration of this project, in the order in which they are applied."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    graph, state = loader.graph, ProjectState(real_apps=loader.unmigrated_apps)
    done: set[tuple[str, str]] = set()
    found: list[Finding] = []
    for leaf in sorted(graph.leaf_nodes()):
        for key in graph.forwards_plan(leaf):
            if key not in done:
                done.add(key)
                found += lint_migration(graph.nodes[key], state, ours=_is_ours(graph.nodes[key]))
    return found


def _is_ours(migration: Migration) -> bool:
    return "site-packages" not in str(sys.modules[migration.__module__].__file__)


def lint_migration(
    migration: Migration, state: ProjectState, *, ours: bool = True
) -> list[Finding]:
    """Judge one migration on top of `state`, which it is then applied to."""
    name = f"{migration.app_label}.{migration.name}"
    look = _Look(migration)
    found = list(dict.fromkeys(look.at(migration.operations, state)))
    if not ours:
        return []
    marks: dict[str, str] = getattr(migration, "accepted", {})
    breaks = getattr(migration, "breaks_earlier_code", False)
    silent = {rule for rule, why in marks.items() if rule in ACCEPTABLE and why.strip()}
    findings = [
        Finding(name, rule, text)
        for rule, text in found
        if rule not in silent and not (breaks and rule == BREAKS)
    ]
    for rule in marks:
        if rule not in silent:
            findings.append(
                Finding(name, "mark", f"accepted takes {' or '.join(ACCEPTABLE)}, and why: {rule}")
            )
        elif rule not in {rule for rule, _ in found}:
            findings.append(Finding(name, "mark", f"nothing needs accepted[{rule!r}]"))
    if breaks and not look.opaque and BREAKS not in {rule for rule, _ in found}:
        findings.append(Finding(name, "mark", "nothing needs breaks_earlier_code"))
    return findings


Found = tuple[str, str]


class _Look:
    """At the operations of one migration, one after the other."""

    def __init__(self, migration: Migration) -> None:
        self.app = migration.app_label
        self.atomic = migration.atomic
        self.created: set[str] = set()
        self.unchecked: set[str] = set()
        self.opaque = False

    def at(self, several: Iterable[Operation], state: ProjectState) -> Iterator[Found]:
        for operation in several:
            if isinstance(operation, operations.SeparateDatabaseAndState):
                yield from self.at(operation.database_operations, state.clone())
            else:
                for rule, text in self._judge(operation, state):
                    yield rule, f"{operation.describe()}: {text}"
            operation.state_forwards(self.app, state)

    def _judge(self, operation: Any, state: ProjectState) -> Iterator[Found]:
        match operation:
            case operations.CreateModel():
                self.created.add(operation.name_lower)
            case operations.RunPython():
                self.opaque = True
                if operation.reverse_code is None:
                    yield ONE_WAY, "takes reverse_code, RunPython.noop where nothing is to undo"
            case operations.RunSQL():
                self.opaque = True
                if operation.reverse_sql is None:
                    yield ONE_WAY, "takes reverse_sql, RunSQL.noop where nothing is to undo"
                yield from self._judge_sql(_text(operation.sql))
            case Validate():
                if operation.name in self.unchecked and self.atomic:
                    yield LOCKS, "goes into a later migration than the constraint: locks add up"
            case _ if self._table_of(operation) in self.created:
                pass
            case operations.DeleteModel() | operations.RenameModel() | operations.AlterModelTable():
                yield BREAKS, "it asks for the table by its name"
            case operations.RemoveField() | operations.RenameField():
                yield BREAKS, "it reads and writes the column"
            case operations.AlterOrderWithRespectTo():
                yield BREAKS, "it inserts rows without the column"
            case operations.AddField():
                yield from _judge_new(operation.field)
            case operations.AlterField():
                before = state.models[self.app, operation.model_name_lower]
                yield from _judge_change(before.fields[operation.name], operation)
            case AddIndexConcurrently():
                pass
            case operations.AddIndex():
                yield LOCKS, "nobody can write meanwhile: takes AddIndexConcurrently"
            case AddConstraintNotValid():
                self.unchecked.add(operation.constraint.name)
            case operations.AddConstraint():
                if isinstance(operation.constraint, models.CheckConstraint):
                    way = "takes AddConstraintNotValid, and ValidateConstraint in a later migration"
                else:
                    way = "takes an index that was built concurrently"
                yield LOCKS, f"nobody can write while every row is looked at: {way}"
            case operations.AlterUniqueTogether():
                if operation.option_value:
                    yield LOCKS, "nobody can write meanwhile: takes a constraint with an index"

    def _table_of(self, operation: Any) -> str:
        name = getattr(operation, "model_name", None) or getattr(operation, "name", "")
        return str(getattr(operation, "old_name", "") or name).lower()

    def _judge_sql(self, text: str) -> Iterator[Found]:
        ours = {f"{self.app}_{name}" for name in self.created}
        for pattern, rule, says in SQL:
            for match in pattern.finditer(text):
                statement = match[0]
                if match["table"].lower() in ours or NO_CHECK.search(statement):
                    continue
                yield rule, f"{' '.join(statement.split())[:60]} …: {says}"


def _sql(pattern: str) -> "re.Pattern[str]":
    table = r'(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?:public\.)?"?(?P<table>\w+)"?'
    spaced = pattern.replace(" ", r"\s+").replace("TABLENAME", table)
    return re.compile(rf"\b{spaced}", re.IGNORECASE)


ALTER = r"ALTER TABLE TABLENAME[^;]*?\b"
SQL = [
    (
        _sql(
            r"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY\b)(?:IF NOT EXISTS )?"
            r'(?:"?\w+"? )?ON TABLENAME'
        ),
        LOCKS,
        "nobody can write meanwhile: takes CONCURRENTLY",
    ),
    (
        _sql(
            ALTER + r"ADD (?:CONSTRAINT|CHECK|UNIQUE|FOREIGN|PRIMARY)\b"
            r"(?! \w+ \w+ USING INDEX)[^;]*"
        ),
        LOCKS,
        "every row is looked at under a lock: takes NOT VALID, or USING INDEX",
    ),
    (_sql(ALTER + r"SET NOT NULL"), LOCKS, "every row is looked at under a lock"),
    (_sql(ALTER + r"ALTER (?:COLUMN )?\S+ (?:SET DATA )?TYPE\b"), LOCKS, "the table is rewritten"),
    (_sql(ALTER + r"SET NOT NULL"), BREAKS, "it may write NULL"),
    (_sql(ALTER + r"(?:DROP COLUMN|RENAME)\b"), BREAKS, "it asks for the former name"),
    (_sql(r"DROP TABLE TABLENAME"), BREAKS, "it asks for the table"),
]


def _text(sql: Any) -> str:
    if isinstance(sql, str):
        return sql
    return ";\n".join(part if isinstance(part, str) else part[0] for part in sql or ())


def _judge_new(field: Any) -> Iterator[Found]:
    """A field of a table that people use."""
    if field.many_to_many:
        return
    if not (field.null or field.has_db_default() or field.generated):
        yield BREAKS, "it inserts rows without the column: takes null=True or db_default"
    if field.generated or isinstance(field, AutoFieldMixin):
        yield LOCKS, "the table is rewritten"
    if field.has_db_default() and not isinstance(field._db_default_expression, Value | Now):
        yield LOCKS, "a default that differs by row rewrites the table: fill it in afterwards"
    if field.unique or field.db_index:
        yield LOCKS, f"{INDEX}: takes db_index=False here, and AddIndexConcurrently"


def _judge_change(old: Any, operation: operations.AlterField) -> Iterator[Found]:
    new: Any = operation.field
    if old.many_to_many or new.many_to_many:
        return
    former, later = _column(old, operation.name), _column(new, operation.name)
    if former.name != later.name:
        yield BREAKS, "it asks for the column by its former name"
    if former.type != later.type and not _is_free(former.type, later.type):
        yield LOCKS, f"{former.type} to {later.type} rewrites or reads the whole table"
        if (former.type, later.type) not in WIDER:
            yield BREAKS, f"it reads and writes {former.type}"
    if old.null and not new.null:
        yield LOCKS, "every row is looked at under a lock"
        yield BREAKS, "it may write NULL"
    elif old.has_db_default() and not new.has_db_default() and not new.null:
        yield BREAKS, "it leaves the value to the database"
    if (new.unique or new.db_index) and not (old.unique or old.db_index):
        yield LOCKS, f"{INDEX}: takes AddIndexConcurrently"
    elif new.unique and not old.unique:
        yield LOCKS, INDEX
    if later.check and former.check != later.check:
        yield LOCKS, "every row is looked at under a lock: takes AddConstraintNotValid"


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    check: str


def _column(field: Any, name: str) -> _Column:
    if field.remote_field:  # its type is its target's, which no field of a state can reach
        return _Column(field.db_column or f"{name}_id", f"key of {field.remote_field.model}", "")
    field = field.clone()
    field.set_attributes_from_name(name)
    parameters = field.db_parameters(connection)
    kind = " ".join(filter(None, [parameters["type"], parameters.get("collation")]))
    return _Column(field.column, kind, parameters["check"] or "")


def _is_free(former: str, later: str) -> bool:
    """Whether PostgreSQL changes the type without looking at a row."""
    old, new = SIZED.fullmatch(former), SIZED.fullmatch(later)
    if old and later == "text":
        return old["kind"] == "varchar"
    if not old or not new or (old["kind"], old["scale"]) != (new["kind"], new["scale"]):
        return False
    return int(new["size"]) >= int(old["size"])
