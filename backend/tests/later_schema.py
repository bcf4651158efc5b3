"""A plugin for another commit's tests: their databases are made by this commit's migrations.

scripts/earlier-tests.sh loads it, there and not here. It needs nothing of either tree but the
variables LATER_BACKEND and LATER_PYTHON: this commit's backend/ and its interpreter.
"""

import os
import subprocess

import pytest

TEMPLATE = "later_schema"


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return  # the workers have the databases
    import psycopg
    from django.conf import settings

    with psycopg.connect(
        host=os.environ["POSTGRES_HOST"], user="postgres", autocommit=True
    ) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE eatfit24")
    subprocess.run(
        [os.environ["LATER_PYTHON"], "manage.py", "migrate", "--run-syncdb", "--verbosity", "0"],
        cwd=os.environ["LATER_BACKEND"],
        env={**os.environ, "PYTHONPATH": "", "POSTGRES_DB": TEMPLATE},
        check=True,
    )
    # What is applied stays applied: the earlier code knows of nothing more to do.
    settings.DATABASES["default"].setdefault("TEST", {})["TEMPLATE"] = TEMPLATE
