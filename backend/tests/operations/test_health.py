"""Health: says which part is away, soon, and to whoever asks under a known name."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from apps.operations import health
from apps.operations.health import GOOD_FOR_SECONDS
from sandbox.embedded import Redis
from tests.http import StartServer
from tests.processes import Process, wait_for

REPORTS = ("/health/", "/api/v1/health/")
LIVE = "/health/live/"
CHECKS = {"database", "migrations", "redis"}
SOON_SECONDS = 10  # on a machine however busy: a frozen database never answers
THREADS = 22


def failing(report: dict[str, Any]) -> dict[str, str]:
    """What is wrong, by the name of the check."""
    return {name: check["detail"] for name, check in report["checks"].items() if not check["ok"]}


@contextmanager
def stopped(server: Redis) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def frozen_postmaster() -> Iterator[None]:
    """PostgreSQL takes new connections and never answers them; those it has go on."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        data = Path(cursor.fetchone()[0])
    postmaster = int((data / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(postmaster, signal.SIGCONT)


def look_anew() -> None:
    """Until the last good answer is too old to be given again."""
    asked = time.monotonic()
    wait_for(lambda: time.monotonic() - asked > GOOD_FOR_SECONDS, "the answer is old")


def threads_of(server: Process) -> int:
    """Of Gunicorn's one worker."""
    pid = server.popen.pid
    (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return len(list(Path(f"/proc/{worker}/task").iterdir()))


@pytest.mark.django_db
@pytest.mark.parametrize("url", REPORTS)
def test_all_is_well(client: Client, url: str) -> None:
    response = client.get(url)
    assert response.status_code == 200, response.content
    report = response.json()
    assert (report["status"], report["release"]) == ("ok", settings.RELEASE)
    assert set(report["checks"]) == CHECKS
    for check in report["checks"].values():
        assert (check["ok"], check["detail"]) == (True, "")
        assert 0 < check["milliseconds"] < 2000


@pytest.mark.django_db
@pytest.mark.parametrize("url", REPORTS)
def test_redis_away_is_named_alone_and_forgotten_once_back(
    client: Client, redis_server: Redis, url: str
) -> None:
    with stopped(redis_server):
        look_anew()
        response = client.get(url)
        assert response.status_code == 503
        assert response.json()["status"] == "failing"
        assert failing(response.json()) == {"redis": "ConnectionError"}
    assert client.get(url).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", REPORTS)
def test_a_missing_migration_is_named(client: Client, url: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE id = (SELECT max(id) FROM django_migrations "
            "WHERE app = 'jobs') RETURNING app, name, applied"
        )
        row = cursor.fetchone()
        try:
            look_anew()
            response = client.get(url)
        finally:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)", row
            )
    assert response.status_code == 503
    assert failing(response.json()) == {"migrations": "1 not applied"}
    assert client.get(url).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_database_without_any_table_of_ours_is_named(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations RENAME TO elsewhere")
        try:
            look_anew()
            response = client.get("/health/")
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO django_migrations")
    assert set(failing(response.json())) == {"migrations"}


@pytest.mark.django_db
def test_a_wrong_password_or_address_is_told_without_telling_it(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "HOST", "/nowhere-to-be-told")
    look_anew()
    response = client.get("/health/")
    assert response.status_code == 503
    assert set(failing(response.json())) == {"database", "migrations"}
    assert b"nowhere" not in response.content


def test_whoever_asks_often_opens_few_connections(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    monkeypatch.setitem(health.CHECKS, "counted", lambda: runs.append(1) or "")
    began = time.monotonic()
    for _ in range(30):
        assert client.get("/health/").status_code == 200
    assert len(runs) <= 1 + (time.monotonic() - began) / GOOD_FOR_SECONDS
    monkeypatch.setitem(health.CHECKS, "counted", lambda: runs.append(1) or "broken")
    look_anew()
    runs.clear()
    for _ in range(3):
        assert client.get("/health/").status_code == 503
    assert len(runs) == 3, "a failure is looked at again at once"
    health._newest.pop("counted")


def test_the_process_alone_asks_nobody(
    client: Client, redis_server: Redis, db: None, django_assert_num_queries: Any
) -> None:
    with stopped(redis_server), django_assert_num_queries(0):
        response = client.get(LIVE)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_report_is_not_kept_by_caches(client: Client, db: None) -> None:
    assert client.get("/health/").headers["Cache-Control"] == "no-store"


def test_who_asks_under_which_name_and_a_frozen_database(start_server: StartServer) -> None:
    """One Gunicorn with production's settings for both: it takes a second to start."""
    server, http = start_server(threads=THREADS)
    for headers, status in [
        ({"Host": "eatfit24.example", "X-Forwarded-Proto": "https"}, 200),
        ({"Host": "eatfit24.example", "X-Forwarded-Proto": "http"}, 200),
        ({"Host": "eatfit24.example"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "127.0.0.1:8000"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "unknown.example"}, 400),
        ({"Host": "eatfit24.example.evil.example"}, 400),
        ({"Host": "unknown.example", "X-Forwarded-Host": "eatfit24.example"}, 400),
    ]:
        for url in (*REPORTS, LIVE):
            assert http.get(url, headers=headers).status_code == status, (url, headers)

    def ask() -> httpx.Response:
        return httpx.get(http.base_url.join("/health/"), timeout=SOON_SECONDS, trust_env=False)

    with ThreadPoolExecutor(20) as pool, frozen_postmaster():
        look_anew()
        for _ in range(2):
            asked = [pool.submit(ask) for _ in range(20)]
            while not all(answer.done() for answer in asked):
                # Gunicorn's own, its main one, and at most one that waits for each check.
                assert threads_of(server) <= THREADS + 1 + len(CHECKS)
                time.sleep(0.05)
            for response in (answer.result() for answer in asked):
                assert response.status_code == 503
                assert set(failing(response.json())) == {"database", "migrations"}
        assert http.get(LIVE).status_code == 200
    wait_for(lambda: http.get("/health/").status_code == httpx.codes.OK, "healthy again", 10)
