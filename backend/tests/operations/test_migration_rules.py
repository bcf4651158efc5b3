"""The linter of migrations: what each rule refuses, what it lets through, and its marks."""

from typing import Any

import pytest
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    ValidateConstraint,
)
from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.functions import Now

from apps.operations.migration_rules import lint, lint_migration

LOCKS, BREAKS, ONE_WAY = "locks", "breaks earlier code", "irreversible"
INDEX = models.Index(fields=["name"], name="place_name")
CHECK = models.CheckConstraint(condition=models.Q(size__gt=0), name="size_is_some")
GENERATED: Any = models.GeneratedField(
    expression=models.F("size"), output_field=models.IntegerField(), db_persist=True
)
UNIQUE = models.UniqueConstraint(fields=["name"], name="name_once")


def state() -> ProjectState:
    """A table `shop_place` that people use."""
    fields: list[tuple[str, models.Field[Any, Any]]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=20)),
        ("size", models.IntegerField(null=True)),
        ("kind", models.CharField(max_length=8, db_default="cafe")),
        ("price", models.DecimalField(max_digits=8, decimal_places=2, null=True)),
        ("owner", models.ForeignKey("shop.Place", models.CASCADE, null=True)),
    ]
    start = ProjectState()
    start.add_model(ModelState("shop", "Place", fields))
    return start


def rules(*operations: Any, **marks: Any) -> set[str]:
    kind = type("Migration", (migrations.Migration,), {"operations": list(operations), **marks})
    return {finding.rule for finding in lint_migration(kind("0002_next", "shop"), state())}


def add(field: Any) -> Any:
    return migrations.AddField("place", "fresh", field)


def alter(name: str, field: Any) -> Any:
    return migrations.AlterField("place", name, field)


def sql(text: str) -> Any:
    return migrations.RunSQL(text, migrations.RunSQL.noop)


def column(**options: Any) -> Any:
    return models.CharField(max_length=20, **options)


def decimal(digits: int, places: int) -> Any:
    return models.DecimalField(max_digits=digits, decimal_places=places, null=True)


def nothing(*_: Any) -> None: ...


def described(value: Any) -> str:
    return value.describe()[:60] if isinstance(value, Operation) else ""


@pytest.mark.parametrize(
    ("operation", "broken"),
    [
        (migrations.AddIndex("place", INDEX), {LOCKS}),
        (migrations.AddConstraint("place", CHECK), {LOCKS}),
        (migrations.AddConstraint("place", UNIQUE), {LOCKS}),
        (migrations.AlterUniqueTogether("place", {("name", "size")}), {LOCKS}),
        (add(column()), {BREAKS}),
        (add(column(default="x")), {BREAKS}),
        (add(column(null=True, db_index=True)), {LOCKS}),
        (add(column(null=True, unique=True)), {LOCKS}),
        (add(models.ForeignKey("shop.Place", models.CASCADE, null=True)), {LOCKS}),
        (add(models.FloatField(db_default=models.functions.Random())), {LOCKS}),
        (add(GENERATED), {LOCKS}),
        (alter("name", models.IntegerField()), {LOCKS, BREAKS}),
        (alter("name", models.CharField(max_length=19)), {LOCKS, BREAKS}),
        (alter("name", models.CharField(max_length=20, db_index=True)), {LOCKS}),
        (alter("name", models.CharField(max_length=20, unique=True)), {LOCKS}),
        (alter("name", models.CharField(max_length=20, db_column="title")), {BREAKS}),
        (alter("name", models.CharField(max_length=20, db_collation="C")), {LOCKS, BREAKS}),
        (alter("size", models.IntegerField()), {LOCKS, BREAKS}),
        (alter("size", models.BigIntegerField(null=True)), {LOCKS}),
        (alter("size", models.PositiveIntegerField(null=True)), {LOCKS}),
        (alter("kind", models.CharField(max_length=8)), {BREAKS}),
        (alter("price", decimal(10, 4)), {LOCKS, BREAKS}),
        (alter("owner", models.ForeignKey("auth.Group", models.CASCADE)), {LOCKS, BREAKS}),
        (migrations.RemoveField("place", "name"), {BREAKS}),
        (migrations.RenameField("place", "name", "title"), {BREAKS}),
        (migrations.RenameModel("Place", "Shop"), {BREAKS}),
        (migrations.AlterModelTable("place", "places"), {BREAKS}),
        (migrations.DeleteModel("Place"), {BREAKS}),
        (migrations.RunPython(nothing), {ONE_WAY}),
        (migrations.RunSQL("SELECT 1"), {ONE_WAY}),
        (sql("CREATE INDEX place_name ON shop_place (name)"), {LOCKS}),
        (sql("create unique index if not exists place_name on public.shop_place (name)"), {LOCKS}),
        (sql("ALTER TABLE shop_place ADD CONSTRAINT some CHECK (size > 0)"), {LOCKS}),
        (sql('ALTER TABLE "shop_place" ALTER COLUMN size TYPE bigint'), {LOCKS}),
        (sql("ALTER TABLE shop_place ALTER size SET NOT NULL"), {LOCKS, BREAKS}),
        (sql("ALTER TABLE shop_place DROP COLUMN size"), {BREAKS}),
        (sql("ALTER TABLE shop_place\n  RENAME size TO area"), {BREAKS}),
        (sql("DROP TABLE IF EXISTS shop_place"), {BREAKS}),
        (migrations.RunSQL([("DROP TABLE shop_place", [])], []), {BREAKS}),
        (migrations.SeparateDatabaseAndState([migrations.AddIndex("place", INDEX)]), {LOCKS}),
    ],
    ids=described,
)
def test_refused(operation: Any, broken: set[str]) -> None:
    assert rules(operation) == broken


@pytest.mark.parametrize(
    "operation",
    [
        add(column(null=True)),
        add(column(db_default="x")),
        add(models.DateTimeField(db_default=Now())),
        add(models.ForeignKey("shop.Place", models.CASCADE, null=True, db_index=False)),
        add(models.ManyToManyField("shop.Place")),
        alter("name", models.CharField(max_length=21)),
        alter("name", models.TextField()),
        alter("name", models.CharField(max_length=20, null=True)),
        alter("name", models.CharField(max_length=20, choices=[("a", "A")], default="a")),
        alter("price", decimal(12, 2)),
        alter("kind", models.CharField(max_length=8, null=True)),
        alter("owner", models.ForeignKey("shop.Place", models.SET_NULL, null=True)),
        AddConstraintNotValid("place", CHECK),
        migrations.RemoveIndex("place", "place_name"),
        migrations.RunPython(nothing, nothing),
        sql("CREATE INDEX CONCURRENTLY place_name ON shop_place (name)"),
        sql("ALTER TABLE shop_place ADD CONSTRAINT some CHECK (size > 0) NOT VALID"),
        sql("ALTER TABLE shop_place ADD CONSTRAINT once UNIQUE USING INDEX place_name"),
        sql("ALTER TABLE shop_place ADD COLUMN area integer"),
        migrations.SeparateDatabaseAndState([], [migrations.AddIndex("place", INDEX)]),
    ],
    ids=described,
)
def test_let_through(operation: Any) -> None:
    before = state()
    before.models["shop", "place"].options["indexes"] = [INDEX]
    kind = type("Migration", (migrations.Migration,), {"operations": [operation]})
    assert lint_migration(kind("0002_next", "shop"), before) == []


def test_an_index_may_be_built_concurrently() -> None:
    assert rules(AddIndexConcurrently("place", INDEX), atomic=False) == set()


def test_a_table_that_the_migration_creates_is_nobodys_yet() -> None:
    new = migrations.CreateModel("Stall", [("id", models.BigAutoField(primary_key=True))])
    assert (
        rules(
            new,
            migrations.AddField("stall", "name", column(unique=True)),
            migrations.AddIndex("stall", INDEX),
            migrations.AddConstraint("stall", UNIQUE),
            sql("CREATE INDEX stall_name ON shop_stall (name)"),
        )
        == set()
    )
    assert rules(new, migrations.AddIndex("place", INDEX)) == {LOCKS}


def test_a_constraint_is_validated_after_its_own_lock_is_gone() -> None:
    both = (AddConstraintNotValid("place", CHECK), ValidateConstraint("place", "size_is_some"))
    assert rules(*both) == {LOCKS}
    assert rules(*both, atomic=False) == set()


def test_what_is_marked_with_a_reason_is_let_through() -> None:
    index, gone = migrations.AddIndex("place", INDEX), migrations.RemoveField("place", "kind")
    assert rules(index, accepted={"locks": "30 rows"}) == set()
    assert rules(gone, breaks_earlier_code=True) == set()
    assert rules(index, gone, breaks_earlier_code=True) == {LOCKS}
    assert rules(migrations.RunPython(nothing), accepted={"irreversible": "they are gone"}) == set()
    assert rules(sql("UPDATE shop_place SET size = 0"), breaks_earlier_code=True) == set()


@pytest.mark.parametrize(
    ("marks", "broken"),
    [
        ({"accepted": {"locks": " "}}, {"mark", LOCKS}),
        ({"accepted": {"breaks earlier code": "why not"}}, {"mark", LOCKS}),
        ({"accepted": {"locks": "30 rows", "irreversible": "so it is"}}, {"mark"}),
        ({"accepted": {"locks": "30 rows"}, "breaks_earlier_code": True}, {"mark"}),
    ],
)
def test_a_mark_that_says_nothing_is_refused(marks: dict[str, Any], broken: set[str]) -> None:
    assert rules(migrations.AddIndex("place", INDEX), **marks) == broken


def test_a_migration_is_judged_on_top_of_those_before_it() -> None:
    before = state()

    def judge(name: str, *operations: Any) -> set[str]:
        kind = type("Migration", (migrations.Migration,), {"operations": list(operations)})
        return {finding.rule for finding in lint_migration(kind(name, "shop"), before)}

    assert judge("0002", alter("name", models.CharField(max_length=40))) == set()
    assert judge("0003", alter("name", models.CharField(max_length=30))) == {LOCKS, BREAKS}
    stall = migrations.CreateModel("Stall", [("id", models.UUIDField(primary_key=True))])
    named = migrations.AddField("stall", "name", column(unique=True, null=True))
    assert judge("0004", stall) == set()
    assert judge("0005", named) == {LOCKS}


def test_ours_pass() -> None:
    assert lint() == []
