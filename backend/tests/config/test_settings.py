"""No start without settings that were chosen, and none of production with something unsafe."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from tests.config.environments import SOUND, run_python

UNCHOSEN = {name: text for name, text in SOUND.items() if name != "DJANGO_SETTINGS_MODULE"}
SENTENCE = (
    "DJANGO_SETTINGS_MODULE is not set: set it to config.settings.production, "
    "config.settings.local or config.settings.test."
)


@pytest.mark.parametrize(
    "command",
    [
        ("manage.py", "check"),
        ("manage.py", "migrate"),
        ("-c", "import config.wsgi"),
        ("-c", "import config.celery"),
        ("-m", "celery", "-A", "config.celery", "report"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("chosen", [{}, {"DJANGO_SETTINGS_MODULE": ""}], ids=["unset", "empty"])
def test_nothing_chooses_settings_silently(
    command: tuple[str, ...], chosen: dict[str, str]
) -> None:
    done = run_python(*command, environment=UNCHOSEN | chosen)
    assert done.returncode != 0
    assert SENTENCE in done.stderr
    assert done.stdout == ""


def test_manage_py_says_it_in_one_line() -> None:
    done = run_python("manage.py", "check", environment=UNCHOSEN)
    assert (done.returncode, done.stderr) == (1, SENTENCE + "\n")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("DEBUG", "1", "DEBUG: got '1'; takes 0 in production"),
        ("SECRET_KEY", "", "SECRET_KEY: got nothing; is required"),
        ("SECRET_KEY", "short", "SECRET_KEY: got 5 characters; takes at least 50"),
        ("SECRET_KEY", "change-me-" + "0" * 40, "SECRET_KEY: got a placeholder"),
        ("SECRET_KEY_FALLBACKS", "short", "SECRET_KEY_FALLBACKS: got 5 characters"),
        ("ALLOWED_HOSTS", "*", "ALLOWED_HOSTS: got '*'; takes no wildcard"),
        ("ALLOWED_HOSTS", "", "ALLOWED_HOSTS: got nothing; is required"),
        ("POSTGRES_PASSWORD", "changeme", "POSTGRES_PASSWORD: got a placeholder"),
        ("DEBUGPY_PORT", "5678", "DEBUGPY_PORT: got '5678'; is unset in production"),
    ],
)
@pytest.mark.parametrize("chosen", ["config.settings.production", "config.settings.local"])
def test_production_refuses_by_name(name: str, text: str, says: str, chosen: str) -> None:
    """Whatever DJANGO_SETTINGS_MODULE says: who imports the module gets its rules."""
    environment = {**SOUND, "DJANGO_SETTINGS_MODULE": chosen, name: text}
    done = run_python("-c", "import config.settings.production", environment=environment)
    assert done.returncode == 1
    assert "ImproperlyConfigured: The environment is wrong:" in done.stderr
    assert says in done.stderr


def test_sound_production_passes_djangos_own_checks_for_a_deployment() -> None:
    done = run_python("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert (done.returncode, done.stdout) == (
        0,
        "System check identified no issues (4 silenced).\n",
    ), done.stderr


@pytest.mark.parametrize(
    ("settings", "there"), [("production", False), ("test", False), ("local", True)]
)
def test_the_login_for_development_is_in_no_other_settings(settings: str, there: bool) -> None:
    program = """if True:
        import django
        django.setup()
        from django.urls import Resolver404, resolve
        for name in "telegram", "development":
            try:
                print(name, resolve(f"/api/v1/auth/{name}").route)
            except Resolver404:
                print(name, "is not there")
    """
    environment = {**SOUND, "DJANGO_SETTINGS_MODULE": f"config.settings.{settings}"}
    done = run_python("-c", program, environment=environment)
    telegram, development = done.stdout.splitlines()
    assert telegram == "telegram api/v1/auth/telegram"
    assert (development != "development is not there") is there


def test_the_secret_key_may_come_from_a_file(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("from-the-file-0123456789abcdef-0123456789-abcdefghij\n")
    environment = {**SOUND, "SECRET_KEY": "", "SECRET_KEY_FILE": str(key)}
    program = "import config.settings.production as s; print(s.SECRET_KEY)"
    assert run_python("-c", program, environment=environment).stdout == key.read_text()
    key.write_text("short")
    done = run_python("-c", program, environment=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert "SECRET_KEY: got 5 characters" in done.stderr


@pytest.mark.django_db
def test_storage_is_utc_and_display_is_moscow() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with connection.cursor() as cursor:
        cursor.execute("SHOW timezone")
        assert cursor.fetchone() == ("UTC",)
        cursor.execute("SELECT %s::timestamptz::text, now()", [noon])
        stored, now = cursor.fetchone()
    assert stored == "2026-01-01 12:00:00+00"
    assert now.utcoffset() == timezone.now().utcoffset() == noon.utcoffset()
    assert timezone.localtime(noon).isoformat() == "2026-01-01T15:00:00+03:00"


def test_processing_is_utc_in_celery() -> None:
    from celery import current_app

    assert (current_app.conf.timezone, current_app.conf.enable_utc) == ("UTC", True)
    assert os.environ["TZ"] == "Europe/Moscow", "set by Django for this process's display"
