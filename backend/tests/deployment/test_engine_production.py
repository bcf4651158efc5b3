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
    running_stack,
)
from tests.processes import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]

MEGABYTE = 1024 * 1024
BASE = "python:3.13-slim-trixie"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
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
        for image in (stack.image, BASE)
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


def container(stack: Stack, service: str) -> str:
    return stack.compose("ps", "--all", "--quiet", service).strip()


def inspect(stack: Stack, service: str, template: str) -> str:
    return stack.run("docker", "inspect", "-f", template, container(stack, service)).strip()


# Every process of the role, but neither init nor this shell.
FREEZE = """
for process in /proc/[0-9]*; do
  if grep -qE "^(gunicorn|celery)" "$process/comm"; then kill -STOP "${process#/proc/}"; fi
done
"""


def test_a_frozen_worker_is_ended_by_its_health_check_and_starts_again(stack: Stack) -> None:
    """As in production, with all capabilities dropped; checks come faster, to save time."""
    started = "{{.State.StartedAt}} {{.RestartCount}}"
    before = {name: inspect(stack, name, started) for name in ("celery-worker", "backend")}
    for service, check in (("celery-worker", "heartbeat"), ("backend", "web")):
        stack.compose("exec", "-T", service, "sh", "-c", FREEZE)
        for _ in range(7):
            stack.compose("exec", "-T", service, "/app/healthcheck.sh", check, check=False)
    for service, earlier in before.items():
        wait_for(lambda s=service, e=earlier: inspect(stack, s, started) != e, "it starts again")
        wait_for(
            lambda s=service: inspect(stack, s, "{{.State.Health.Status}}") == "healthy",
            f"{service} is healthy again",
            seconds=90,
        )
    assert eat(stack.url, init_data=login_data(43))["energy_kcal"] > 0


def test_a_stop_and_a_start_of_everything_lose_nothing(stack: Stack) -> None:
    token = httpx.post(
        f"{stack.url}/api/v1/auth/telegram", json={"init_data": login_data(44)}
    ).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{stack.url}/api/v1", headers=headers, timeout=30) as http:
        asked = [
            http.post("/recognitions", json={"text": "2 eggs"}).json()["id"] for _ in range(40)
        ]
        stack.compose("kill", "celery-worker", "celery-worker-billing", "celery-beat")
        asked += [http.post("/recognitions", json={"text": "rice"}).json()["id"] for _ in range(20)]
        stack.compose("stop")
        stack.compose("up", "--detach", "--wait")

        def all_done() -> bool:
            return all(http.get(f"/recognitions/{pk}").json()["status"] == "done" for pk in asked)

        wait_for(all_done, "all recognitions are done", seconds=120)


def test_a_wrong_environment_is_told_in_the_last_words(stack: Stack) -> None:
    stack.write_environment(RUN_MIGRATIONS="true", GUNICORN_THREADS="many")
    try:
        up = stack.compose("up", "--detach", "--wait", "backend", check=False)
        report = json.loads(stack.run("scripts/smoke-test.sh", "--json", check=False))
        refused = stack.run("scripts/check-env.sh", check=False)
    finally:
        stack.write_environment(RUN_MIGRATIONS="1", GUNICORN_THREADS="")
        stack.compose("up", "--detach", "--wait")
    assert "unhealthy" in up or "exited" in up or "restarting" in up, up
    failed = {check["name"]: check["detail"] for check in report["checks"] if not check["ok"]}
    words = failed["container backend is healthy"]
    for text in (words, refused):
        assert "RUN_MIGRATIONS: got 'true'; takes 0 or 1" in text
        assert "GUNICORN_THREADS: got 'many'; takes a whole number from 1 to 32" in text
    assert "exit code 78" in words
