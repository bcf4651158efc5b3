"""What a start waits for and does in the database: once, in order, with a bound."""

import os
import re
import sys
from pathlib import Path

import psycopg
import pytest

from sandbox.embedded import Postgres
from tests.deployment.conftest import PRODUCTION, Start, query
from tests.processes import Process, wait_for

# What the entrypoint becomes here: a gunicorn or a celery that says so and ends.
ENTERED = "entered\n"


@pytest.fixture
def start(enter: Start, tmp_path: Path) -> Start:
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("gunicorn", "celery"):
        (directory / name).write_text("#!/bin/sh\necho entered\n")
        (directory / name).chmod(0o700)
    path = f"{directory}:{Path(sys.executable).parent}:/usr/bin:/bin"

    def start_stub(*command: str, **environment: str) -> Process:
        return enter(*command, **{"PATH": path, "STARTUP_WAIT_SECONDS": "30", **environment})

    return start_stub


def ended(process: Process, code: int) -> str:
    assert process.popen.wait(60) == code, process.output()
    assert process.output().endswith(ENTERED) is (code == 0)
    return process.output()


def applied(database: str) -> int:
    if query(database, "SELECT to_regclass('django_migrations')") == [(None,)]:
        return 0
    ((number,),) = query(database, "SELECT count(*) FROM django_migrations")
    return int(number)


def foods(database: str) -> int:
    ((number,),) = query(database, "SELECT count(*) FROM nutrition_food")
    return int(number)


def test_an_empty_database_is_migrated_and_has_foods(start: Start, empty_database: str) -> None:
    ended(start("gunicorn", POSTGRES_DB=empty_database, RUN_MIGRATIONS="1"), 0)
    everything = applied(empty_database)
    assert everything > 10
    assert foods(empty_database) > 1000
    owners = query(
        empty_database, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname='public'"
    )
    assert owners == [("eatfit24_owner",)]
    again = ended(start("gunicorn", POSTGRES_DB=empty_database, RUN_MIGRATIONS="1"), 0)
    assert "No migrations to apply" in again
    assert applied(empty_database) == everything


def test_three_at_once_migrate_once_and_all_come_up(start: Start, empty_database: str) -> None:
    processes = [
        start("gunicorn", POSTGRES_DB=empty_database, RUN_MIGRATIONS="1") for _ in range(3)
    ]
    outputs = [ended(process, 0) for process in processes]
    applying = [output.count("Applying jobs.0001_initial") for output in outputs]
    assert sorted(applying) == [0, 0, 1]
    ((repeated,),) = query(
        empty_database,
        "SELECT count(*) - count(DISTINCT (app, name)) FROM django_migrations",
    )
    assert repeated == 0


def test_three_at_once_build_an_index_concurrently(start: Start, empty_database: str) -> None:
    """One waits for an older transaction, the others for its lock, and no one for another."""
    own = {"DJANGO_SETTINGS_MODULE": "config.settings.test", "POSTGRES_DB": empty_database}
    with psycopg.connect(
        host=os.environ["POSTGRES_HOST"], user="postgres", dbname=empty_database
    ) as older:
        older.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # keeps its snapshot
        older.execute("SELECT count(*) FROM pg_class")
        processes = [start("gunicorn", RUN_MIGRATIONS="1", **own) for _ in range(3)]
        building = "SELECT 1 FROM pg_stat_progress_create_index"
        wait_for(lambda: query(empty_database, building), "the index is being built")
    outputs = [ended(process, 0) for process in processes]
    assert sorted(output.count("Applying indexed.0002_index") for output in outputs) == [0, 0, 1]
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'indexed_text'::regclass"
    assert query(empty_database, valid) == [(True,)]


def test_an_index_whose_building_was_cut_off_is_built_anew(
    start: Start, empty_database: str
) -> None:
    own = {"DJANGO_SETTINGS_MODULE": "config.settings.test", "POSTGRES_DB": empty_database}
    ended(start("gunicorn", RUN_MIGRATIONS="1", **own), 0)
    query(empty_database, "DELETE FROM django_migrations WHERE name = '0002_index'")
    query(
        empty_database,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'indexed_text'::regclass",
    )
    output = ended(start("gunicorn", RUN_MIGRATIONS="1", **own), 0)
    assert "dropping indexed_text, whose building was cut off" in output
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'indexed_text'::regclass"
    assert query(empty_database, valid) == [(True,)]


@pytest.mark.parametrize("asked", ["", "0"])
def test_nothing_is_migrated_unasked(start: Start, empty_database: str, asked: str) -> None:
    ended(start("gunicorn", POSTGRES_DB=empty_database, RUN_MIGRATIONS=asked), 0)
    assert applied(empty_database) == 0


@pytest.mark.parametrize("role", ["worker", "beat"])
def test_celery_gives_up_naming_what_is_missing(
    start: Start, empty_database: str, role: str
) -> None:
    environment = {"POSTGRES_DB": empty_database, "STARTUP_WAIT_SECONDS": "1"}
    output = ended(start("celery", role, RUN_MIGRATIONS="1", **environment), 1)
    assert re.search(
        rf"CommandError: {role} cannot start: gave up waiting for the schema after 1 s: "
        r"\d+ migrations are not applied \(accounts.0001_initial, ",
        output,
    )
    assert "Traceback" not in output
    assert applied(empty_database) == 0, "Celery never migrates"


def test_celery_starts_once_another_has_migrated(start: Start, empty_database: str) -> None:
    worker = start("celery", "worker", POSTGRES_DB=empty_database)
    wait_for(lambda: "migrations are not applied" in worker.output(), "the worker waits")
    ended(start("gunicorn", POSTGRES_DB=empty_database, RUN_MIGRATIONS="1"), 0)
    ended(worker, 0)


def test_celery_waits_for_the_last_migration_alone(start: Start, migrated_copy: str) -> None:
    query(migrated_copy, "DELETE FROM django_migrations WHERE name = '0003_days_of_meals'")
    environment = {"POSTGRES_DB": migrated_copy, "STARTUP_WAIT_SECONDS": "1"}
    output = ended(start("celery", "beat", **environment), 1)
    assert "1 migrations are not applied (nutrition.0003_days_of_meals …)" in output


@pytest.mark.parametrize(("strict", "code"), [("1", 1), ("", 1), ("0", 0)])
def test_a_failed_migration_stops_the_start_where_it_is_strict(
    start: Start, empty_database: str, strict: str, code: int
) -> None:
    query(empty_database, "CREATE TABLE django_content_type (in_the_way text)")
    environment = {"POSTGRES_DB": empty_database, "MIGRATIONS_STRICT": strict}
    output = ended(start("gunicorn", RUN_MIGRATIONS="1", **environment), code)
    assert re.search(r'relation \\?"django_content_type\\?" already exists', output)
    assert ("Traceback" in output) is (code == 0), "one line where it stops, all where it goes on"
    assert ("going on because MIGRATIONS_STRICT=0" in output) is (code == 0)
    assert applied(empty_database) == 0


@pytest.mark.parametrize("command", [("gunicorn",), ("celery", "worker")])
def test_a_database_that_never_comes_is_given_up(start: Start, command: tuple[str, ...]) -> None:
    environment = {"POSTGRES_HOST": "/nowhere", "STARTUP_WAIT_SECONDS": "1"}
    output = ended(start(*command, **environment), 1)
    assert re.search(
        r"CommandError: \w+ cannot start: gave up waiting for the \w+ after 1 s: .*/nowhere", output
    )
    assert "Traceback" not in output


def test_a_database_that_comes_late_is_waited_for(start: Start, tmp_path: Path) -> None:
    with Postgres(tmp_path / "late", durable=False) as late:
        host = late.host
        late.stop()
        process = start("gunicorn", POSTGRES_HOST=host)
        wait_for(lambda: "waiting" in process.output(), "it waits")
        with Postgres(tmp_path / "late", durable=False):
            ended(process, 0)


def test_the_application_cannot_change_the_schema(migrated_database: str) -> None:
    ((owner, creates),) = query(
        migrated_database,
        "SELECT tableowner, has_schema_privilege('{}', 'public', 'CREATE') FROM pg_tables "
        "WHERE tablename = 'jobs_period'".format(PRODUCTION["POSTGRES_USER"]),
    )
    assert (owner, creates) == ("eatfit24_owner", False)


@pytest.mark.parametrize(
    ("table", "rights"),
    [
        ("billing_entry", ["SELECT", "INSERT"]),
        ("billing_planversion", ["SELECT", "INSERT"]),
        ("billing_payment", ["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ],
)
@pytest.mark.parametrize("role", ["eatfit24_a", "eatfit24_b"])
def test_the_application_may_only_add_to_the_ledger(
    migrated_database: str, table: str, rights: list[str], role: str
) -> None:
    every = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
    asked = ", ".join(f"has_table_privilege('{role}', '{table}', '{right}')" for right in every)
    (may,) = query(migrated_database, f"SELECT {asked}")
    assert [right for right, has in zip(every, may, strict=True) if has] == rights


@pytest.mark.parametrize(
    ("command", "whose"),
    [
        (("gunicorn",), "DATABASE {}"),
        (("celery", "worker"), "ROLE eatfit24_a IN DATABASE {}"),
        (("celery", "beat"), "DATABASE {}"),
    ],
)
def test_a_database_elsewhere_in_time_stops_the_start(
    start: Start, migrated_copy: str, command: tuple[str, ...], whose: str
) -> None:
    query(migrated_copy, f"ALTER {whose.format(migrated_copy)} SET timezone = 'Asia/Tokyo'")
    output = ended(start(*command, POSTGRES_DB=migrated_copy), 1)
    assert "cannot start: PostgreSQL's time zone is Asia/Tokyo: takes UTC; look for" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("command", [("gunicorn",), ("celery", "beat")])
def test_packages_that_are_not_the_locked_ones_stop_the_start(
    start: Start, migrated_database: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Before the database is waited for: no waiting mends it."""
    (tmp_path / "late" / "redis-1.0.dist-info").mkdir(parents=True)
    own = {"PYTHONPATH": str(tmp_path / "late"), "POSTGRES_HOST": "/nowhere"}
    output = ended(start(*command, POSTGRES_DB=migrated_database, **own), 1)
    assert re.search(
        r"cannot start: what is installed is not what uv.lock says: "
        r"redis 1\.0 is installed, the lock says \d+\.",
        output,
    )
    assert "Traceback" not in output
