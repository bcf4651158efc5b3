"""compose.yml alone, on a real engine: built, brought up, used, looked at."""

import json
from collections.abc import Iterator

import httpx
import init_data_py
import pytest

from sandbox.round_trip import eat
from tests.deployment.engine import (
    BOT_TOKEN,
    Stack,
    production_values,
    require_engine,
    running_stack,
)

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]

MEGABYTE = 1024 * 1024
IMAGE, BASE = "eatfit24-backend:dev", "python:3.13-slim-trixie"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_engine()
    with running_stack(tmp_path_factory.mktemp("production"), production_values()) as stack:
        yield stack


def login_data(telegram_id: int) -> str:
    """What Telegram would give a Mini App of this bot."""
    user = json.dumps({"id": telegram_id, "first_name": "Anna", "language_code": "en"})
    return init_data_py.sign({"user": user, "query_id": "1"}, BOT_TOKEN)


def test_the_smoke_test_passes(stack: Stack) -> None:
    report = json.loads(stack.run("scripts/smoke-test.sh", "--json", stack.url))
    assert report["ok"], report
    names = {check["name"] for check in report["checks"]}
    assert {f"a job on {queue} is done" for queue in ("ai", "billing", "default")} <= names
    assert "Redis database of the broker is 1" in names
    assert "Redis database of the results is 2" in names
    assert sum(name.startswith("container ") for name in names) == 7


def test_a_meal_goes_in_and_the_diary_counts_it(stack: Stack) -> None:
    totals = eat(stack.url, init_data=login_data(42))
    assert totals["energy_kcal"] > 300


def test_there_is_no_development_login(stack: Stack) -> None:
    answer = httpx.post(f"{stack.url}/api/v1/auth/development", json={"telegram_id": 1})
    assert answer.status_code == 404


def test_health_behind_a_proxy_is_not_redirected(stack: Stack) -> None:
    headers = {"Host": "eatfit24.example", "X-Forwarded-Proto": "https"}
    answer = httpx.get(f"{stack.check_url}/health/", headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert "strict-transport-security" in answer.headers


def test_the_image_adds_little_and_holds_no_tools(stack: Stack) -> None:
    sizes = [
        int(stack.run("docker", "image", "inspect", "--format", "{{.Size}}", image))
        for image in (IMAGE, BASE)
    ]
    assert sizes[0] - sizes[1] <= 150 * MEGABYTE
    listing = stack.compose(
        "exec", "-T", "backend", "sh", "-c",
        "id -u; ls /app /app/backend; command -v gcc uv pip pytest || echo no tools",
    )  # fmt: skip
    assert listing.startswith("10001\n")
    assert "no tools" in listing
    assert not {"tests", "sandbox"} & set(listing.split())


def test_the_application_owns_nothing_in_the_database(stack: Stack) -> None:
    owners = stack.compose(
        "exec", "-T", "db", "psql", "-U", "postgres", "-qtA", "eatfit24", "-c",
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'",
    )  # fmt: skip
    assert owners.split() == ["eatfit24_owner"]
    superuser = stack.compose(
        "exec", "-T", "db", "sh", "-c",
        'PGPASSWORD="$POSTGRES_PASSWORD" psql -h db -U postgres -c "SELECT 1"',
        check=False,
    )  # fmt: skip
    assert "password authentication failed" in superuser


def test_up_again_changes_nothing(stack: Stack) -> None:
    before = set(stack.compose("ps", "--quiet").split())
    stack.compose("up", "--detach", "--wait")
    assert set(stack.compose("ps", "--quiet").split()) == before


def test_the_smoke_test_names_what_is_wrong(stack: Stack) -> None:
    stack.compose("stop", "celery-worker")
    try:
        report = json.loads(stack.run("scripts/smoke-test.sh", "--json", check=False))
    finally:
        stack.compose("start", "--wait", "celery-worker", check=False)
        stack.compose("up", "--detach", "--wait")
    failed = {check["name"]: check["detail"] for check in report["checks"] if not check["ok"]}
    assert not report["ok"]
    assert set(failed) == {
        "container celery-worker is healthy",
        "queue ai has a consumer",
        "queue default has a consumer",
        "a job on ai is done",
        "a job on default is done",
    }
    assert "its last words" in failed["container celery-worker is healthy"]
