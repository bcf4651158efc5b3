"""Figures for docs/RUNTIME.md, measured on the embedded PostgreSQL and Redis.

python -m tests.benchmark queues      how long money waits behind the model
python -m tests.benchmark processes   start, memory and stop of each role
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from sandbox.demo import Stack
from sandbox.embedded import Postgres, Redis, free_port

AI_JOBS, STUCK_JOBS, BILLING_JOBS = 1000, 10_000, 200
PATIENCE_SECONDS = 30.0
MEGABYTE = 1024 * 1024


def pss(process: psutil.Process) -> float:
    """Megabytes of a process and its children, shared pages divided among their users."""
    family = [process, *process.children(recursive=True)]
    return sum(member.memory_full_info().pss for member in family) / MEGABYTE


def measure_processes(data: Path) -> None:
    postgres, redis = Postgres(data / "postgres"), Redis(data / "redis")
    for start in ("first", "usual"):  # the first start migrates, the second is the usual one
        stack = Stack(data, free_port())
        started = time.monotonic()
        stack.start(postgres.host, redis)
        healthy: dict[str, float] = {}
        while len(healthy) < len(stack.services):
            stack.check_alive()
            for service in stack.services:
                if service.name not in healthy and stack.is_healthy(service):
                    healthy[service.name] = time.monotonic() - started
            time.sleep(0.02)
        if start == "first":
            stack.stop()
    time.sleep(5)
    idle = {s.name: pss(psutil.Process(s.process.pid)) for s in stack.services}
    load(stack.url)
    loaded = {s.name: pss(psutil.Process(s.process.pid)) for s in stack.services}
    print("| process | healthy after, s | idle, MiB PSS | after 2,000 requests | stop, s |")
    print("| --- | --- | --- | --- | --- |")
    for service in reversed(stack.services):
        stopping = time.monotonic()
        service.process.terminate()
        service.process.wait(30)
        name, seconds = service.name, time.monotonic() - stopping
        if name != "sandbox":
            print(
                f"| {name} | {healthy[name]:.1f} | {idle[name]:.0f} | {loaded[name]:.0f} "
                f"| {seconds:.1f} |"
            )
    total = sum(size for name, size in idle.items() if name != "sandbox")
    print(f"| together | | {total:.0f} | | |")
    redis.stop()
    postgres.stop()


def load(url: str) -> None:
    """2,000 requests of 40 people. What is beyond their quota is refused, which is work, too."""
    people = []
    for telegram_id in range(1, 41):
        login = httpx.post(f"{url}/api/v1/auth/development", json={"telegram_id": telegram_id})
        people.append({"Authorization": f"Bearer {login.json()['access_token']}"})

    def eat(thread: int) -> None:
        with httpx.Client(base_url=f"{url}/api/v1", timeout=30) as http:
            for number in range(250):
                headers = people[thread * 5 + number % 5]
                text = f"{number} g rice and 2 eggs"
                response = http.post("/recognitions", json={"text": text}, headers=headers)
                if response.status_code not in (202, 403, 429):
                    response.raise_for_status()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(eat, range(8)))
    time.sleep(5)


@contextmanager
def workers(*queues: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as scratch:
        started = []
        for number, names in enumerate(queues):
            runtime = Path(scratch) / str(number)
            runtime.mkdir()
            command = [sys.executable, "-m", "celery", "-A", "config", "worker", "-Q", names]
            concurrency = "4" if names == "billing" else "16"
            started.append(
                subprocess.Popen(
                    [*command, "-n", f"{number}@%h", "--without-gossip", "--without-mingle"],
                    env={
                        **os.environ,
                        "RUNTIME_DIR": str(runtime),
                        "CELERY_WORKER_CONCURRENCY": concurrency,
                        "POSTGRES_POOL_SIZE": "20",
                        "LOG_LEVEL": "ERROR",
                    },
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            while not (runtime / "heartbeat").exists():
                time.sleep(0.05)
        try:
            yield
        finally:
            for process in started:
                process.send_signal(signal.SIGKILL)
                process.wait()


def measure_queues(data: Path) -> None:
    postgres, redis = Postgres(data / "postgres", durable=False), Redis(data / "redis")
    port = free_port()
    sandbox = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "--port", str(port)], stdout=subprocess.DEVNULL
    )
    os.environ.update(
        DJANGO_SETTINGS_MODULE="config.settings.test",
        SECRET_KEY="benchmark",
        ALLOWED_HOSTS="localhost",
        PUBLIC_URL="http://localhost",
        POSTGRES_HOST=postgres.host,
        POSTGRES_USER="postgres",
        POSTGRES_OWNER="postgres",
        POSTGRES_PASSWORD="none",
        CELERY_BROKER_URL=redis.url(0),
        CELERY_RESULT_BACKEND=redis.url(1),
        SANDBOX_URL=f"http://127.0.0.1:{port}",
    )
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    print("| workers | 200 billing jobs: median, ms | 99 %, ms | not within 30 s |")
    print("| --- | --- | --- | --- |")
    for name, queues in (
        ("`celery-worker` and the lane", ("ai,billing,default", "billing")),
        ("one worker for all queues", ("ai,billing,default",)),
    ):
        with workers(*queues):
            waits = sorted(billing_waits())
        missing = BILLING_JOBS - len(waits)
        shown = [f"{waits[int(len(waits) * part)]:.0f}" if waits else "–" for part in (0.5, 0.99)]
        print(f"| {name} | {shown[0]} | {shown[1]} | {missing} |", flush=True)
    sandbox.kill()
    redis.stop()
    postgres.stop()


def billing_waits() -> list[float]:
    """Milliseconds from the insertion of a no-op billing job to its end, behind a full house."""
    from django.db import transaction
    from django.db.models import F

    from apps.jobs import broker
    from apps.jobs.models import Job, Probe
    from apps.jobs.services import submit_job
    from tests.errands.models import Errand

    Errand.objects.all().delete()
    Probe.objects.all().delete()
    broker.client().flushall()
    for queue, number, hold in (("default", STUCK_JOBS, 100.0), ("ai", AI_JOBS, 2.0)):
        with transaction.atomic():
            for _ in range(number):
                submit_job(job=Errand(queue=queue, hold=hold, lease_seconds=900))
    for _ in range(BILLING_JOBS):
        submit_job(job=Probe(queue="billing"))
        time.sleep(0.02)
    deadline = time.monotonic() + PATIENCE_SECONDS
    done = Probe.objects.filter(status=Job.Status.DONE)
    while done.count() < BILLING_JOBS and time.monotonic() < deadline:
        time.sleep(0.2)
    rows = done.annotate(wait=F("finished_at") - F("created_at"))
    return [row.wait.total_seconds() * 1000 for row in rows]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="eatfit24-benchmark-") as directory:
        match sys.argv[1:]:
            case ["queues"]:
                measure_queues(Path(directory))
            case ["processes"]:
                measure_processes(Path(directory))
            case _:
                sys.exit(__doc__)
