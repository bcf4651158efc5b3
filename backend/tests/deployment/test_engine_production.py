"""compose.yml alone, on a real engine: built, brought up, used, looked at."""

import io
import json
import time

import httpx
import pytest
from PIL import Image

from sandbox.round_trip import eat
from tests.ai.pictures import encode, plate
from tests.compose import load_compose
from tests.deployment.engine import Stack, login_data
from tests.deployment.test_budgets import megabytes
from tests.processes import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]

MEGABYTE = 1024 * 1024
BASE = "python:3.13-slim-trixie"


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


# What the kernel holds a container to: memory, processes, CPU time of a period; cgroup v2, or v1.
KERNEL = """
cd /sys/fs/cgroup
cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes
cat pids.max 2>/dev/null || cat pids/pids.max
cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us
"""


def test_containers_are_held_to_the_limits_of_the_file(stack: Stack) -> None:
    for name, service in load_compose(stack.tree / "compose.yml")["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        memory = megabytes(limits["memory"]) * MEGABYTE
        told = json.loads(inspect(stack, name, "{{json .HostConfig}}"))
        assert told["Memory"] == memory, name
        assert told["NanoCpus"] == float(limits["cpus"]) * 1e9, name
        assert told["PidsLimit"] == limits["pids"], name
        held = stack.compose("exec", "-T", name, "sh", "-c", KERNEL).split()
        assert held[:2] == [str(memory), str(limits["pids"])], name
        assert int(held[2]) / int(held[3]) == float(limits["cpus"]), name


def test_what_takes_more_memory_than_its_container_may_is_killed(stack: Stack) -> None:
    before = inspect(stack, "celery-beat", "{{.State.StartedAt}}")
    greedy = "python -c 'b\"x\" * 2**31'; echo ended with $?"
    assert "ended with 137" in stack.compose("exec", "-T", "celery-beat", "sh", "-c", greedy)
    assert inspect(stack, "celery-beat", "{{.State.StartedAt}}") == before, "and nothing else"


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


SUBMIT = """
from apps.jobs.models import Probe
from apps.jobs.services import submit_job
for number in range({number}):
    submit_job(job=Probe(queue=("ai", "billing", "default")[number % 3]))
"""
OUTCOMES = "SELECT status, attempts, count(*) FROM jobs_probe GROUP BY 1, 2"
WORKERS = ("celery-worker", "celery-worker-billing")


def submit(stack: Stack, number: int) -> None:
    """Jobs in all three queues."""
    code = SUBMIT.format(number=number)
    stack.compose("exec", "-T", "backend", "python", "manage.py", "shell", "-v0", "-c", code)


def query(stack: Stack, statement: str) -> list[str]:
    psql = ("exec", "-T", "db", "psql", "-U", "postgres", "-qtA", "eatfit24", "-c")
    return stack.compose(*psql, statement).split()


def test_workers_consume_again_by_themselves_after_redis_was_away(stack: Stack) -> None:
    query(stack, "DELETE FROM jobs_probe")
    started = "{{.State.StartedAt}} {{.RestartCount}}"
    before = [inspect(stack, name, started) for name in (*WORKERS, "celery-beat")]
    submit(stack, 30)
    stack.compose("pause", "redis")
    submit(stack, 30)
    frozen_until = time.monotonic() + 30
    wait_for(lambda: time.monotonic() > frozen_until, "the frost is over", seconds=40)
    stack.compose("unpause", "redis")
    wait_for(lambda: query(stack, OUTCOMES) == ["done|1|60"], "all done once", seconds=90)
    for disturb in (["restart", "redis"], ["exec", "-T", "redis", "redis-cli", "flushall"]):
        submit(stack, 30)
        stack.compose(*disturb)
        submit(stack, 30)
    wait_for(lambda: query(stack, OUTCOMES) == ["done|1|180"], "all done once", seconds=90)
    assert [inspect(stack, name, started) for name in (*WORKERS, "celery-beat")] == before


def test_a_restart_of_postgres_fails_no_job(stack: Stack) -> None:
    query(stack, "DELETE FROM jobs_probe")
    submit(stack, 300)
    stack.compose("restart", "db")
    stack.compose("up", "--detach", "--wait")

    def all_done() -> bool:
        return query(stack, "SELECT count(*) FROM jobs_probe WHERE status = 'done'") == ["300"]

    wait_for(all_done, "all done", seconds=120)


def test_a_container_starts_no_more_workers_than_fit_into_it(stack: Stack) -> None:
    """Of 600 MiB the master takes its part, and two workers fit into the rest."""
    name = f"{stack.values['COMPOSE_PROJECT_NAME']}-small"
    (stack.tree / "small.yml").write_text(
        "services: {backend: {deploy: {resources: {limits: {memory: 600M}}}}}"
    )
    small = ("-f", "compose.yml", "-f", "small.yml", "run", "--detach", "--no-deps")
    stack.compose(*small, "--name", name, "-e", "WEB_CONCURRENCY=4", "backend")

    def healthy() -> bool:
        state = stack.run("docker", "inspect", "-f", "{{.State.Health.Status}}", name)
        return state.strip() == "healthy"

    try:
        wait_for(healthy, "it serves", seconds=60)
        log = stack.run("docker", "logs", name)
        running = stack.run("docker", "top", name, "-o", "pid,args").count("bin/gunicorn")
    finally:
        stack.run("docker", "rm", "--force", name, check=False)
    assert "4 workers asked for, 2 are the most (the container's memory)" in log
    assert (log.count("Booting worker"), running) == (2, 1 + 2)


def test_flags_as_an_env_file_gives_them(stack: Stack) -> None:
    """`docker run --env-file` keeps quotes and spaces; the image is read-only, the user anyone."""
    wrong = {
        "RUN_MIGRATIONS": '""',
        "RUN_COLLECTSTATIC": "1 ",
        "DEBUG": "yes",
        "RUN_MIGRATION": "1",
    }
    text = {**stack.values, **wrong}
    own = {"COMPOSE_PROJECT_NAME", "PUBLIC_PORT", "CHECK_PORT"}
    file = stack.tree / "flags.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in text.items() if name not in own))
    run = ("docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--user", "4242:4242")
    for command in (("gunicorn", "config.wsgi"), ("celery", "-A", "config", "worker")):
        output = stack.run(*run, "--env-file", str(file), stack.image, *command, check=False)
        lines = output.splitlines()
        assert lines[0] == "The environment is wrong:"
        assert sorted(line.split(":")[0].strip() for line in lines[1:]) == sorted(wrong)
        assert "RUN_MIGRATIONS: got '\"\"'; takes 0 or 1" in output
        assert "RUN_COLLECTSTATIC: got '1 '; takes 0 or 1" in output
        assert "RUN_MIGRATION: got an unknown variable; did you mean RUN_MIGRATIONS?" in output


def test_a_stop_and_a_start_of_everything_lose_nothing(stack: Stack) -> None:
    token = httpx.post(
        f"{stack.url}/api/v1/auth/telegram", json={"init_data": login_data(44)}
    ).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    query(stack, "DELETE FROM jobs_probe")
    with httpx.Client(base_url=f"{stack.url}/api/v1", headers=headers, timeout=30) as http:

        def ask(number: int) -> list[str]:
            texts = [{"text": "2 eggs"}] * number
            return [http.post("/recognitions", json=text).json()["id"] for text in texts]

        submit(stack, 300)
        asked = ask(40)
        stack.compose("stop")
        stack.compose("up", "--detach", "--wait")
        asked += ask(40)
        stack.compose("kill", *WORKERS, "celery-beat")
        asked += ask(20)
        stack.compose("up", "--detach", "--wait")

        def all_done() -> bool:
            return all(http.get(f"/recognitions/{pk}").json()["status"] == "done" for pk in asked)

        wait_for(lambda: query(stack, OUTCOMES) == ["done|1|300"], "all done once", seconds=120)
        # What the kill cut off is claimed again when its lease has ended.
        wait_for(all_done, "all recognitions are done", seconds=300)


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


def test_a_photo_is_served_by_nginx_to_its_owner_alone(stack: Stack) -> None:
    def headers(telegram_id: int) -> dict[str, str]:
        answer = httpx.post(
            f"{stack.url}/api/v1/auth/telegram", json={"init_data": login_data(telegram_id)}
        )
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    owner, other = headers(61), headers(62)
    url = f"{stack.url}/api/v1/recognitions"
    asked = httpx.post(
        url, files={"photo": encode(plate(3000, 2000), "HEIF")}, headers=owner, timeout=60
    )
    assert asked.status_code == 202, asked.text
    photo = f"{url}/{asked.json()['id']}/photos/1"
    got = httpx.get(photo, headers=owner)
    assert Image.open(io.BytesIO(got.content)).size == (1024, 683)
    assert got.headers["Content-Type"] == "image/jpeg"
    assert got.headers["Cache-Control"].startswith("private")
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Accel-Redirect" not in got.headers
    assert httpx.get(photo, headers=other).status_code == 404
    assert httpx.get(photo).status_code == 401
    for root in (stack.url, stack.check_url):
        key = stack.compose(
            "exec", "-T", "frontend", "sh", "-c", "cd /srv/photos && ls -d */*.jpg"
        ).split()[0]
        assert httpx.get(f"{root}/internal/photos/{key}", headers=owner).status_code == 404
    refused = stack.compose("exec", "-T", "frontend", "touch", "/srv/photos/x", check=False)
    assert "Read-only file system" in refused
    written = stack.compose(
        "exec", "-T", "celery-worker", "sh", "-c", "touch /srv/photos/x && rm /srv/photos/x"
    )
    assert written == ""


def test_a_form_that_is_too_big_ends_at_nginx(stack: Stack) -> None:
    """With the problem that the backend would answer; elsewhere a megabyte is too big."""
    for path, size in (("recognitions", 22), ("auth/telegram", 2)):
        answer = httpx.post(f"{stack.url}/api/v1/{path}", content=bytes(size << 20), timeout=60)
        assert answer.status_code == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "request_too_big"


def test_who_is_refused_unread_gets_to_know_it(stack: Stack) -> None:
    for _ in range(30):
        answer = httpx.post(
            f"{stack.url}/api/v1/recognitions", files={"photo": bytes(15 << 20)}, timeout=60
        )
        assert answer.status_code == 401


def test_the_image_can_speak_to_a_bucket(stack: Stack) -> None:
    """What it leaves out of the client's descriptions is of other services."""
    said = stack.compose(
        "exec", "-T", "-e", "PHOTO_STORAGE=s3", "-e", "S3_ENDPOINT_URL=http://127.0.0.1:9",
        "-e", "S3_BUCKET=photos", "-e", "S3_ACCESS_KEY=key", "-e", "S3_SECRET_KEY=secret",
        "backend", "python", "manage.py", "shell", "--no-imports", "-c",
        "from apps.ai import photo_store\n"
        "try: photo_store.save_file(b'')\n"
        "except photo_store.PhotoStoreAway as error: print('away:', error)",
    )  # fmt: skip
    assert 'away: Could not connect to the endpoint URL: "http://127.0.0.1:9/photos/' in said
