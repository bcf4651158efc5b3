"""scripts/runtime-anomaly-detector.sh on a running stack: what breaks for real is told for real."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from apps.operations.compose_rules import ALARM
from tests.deployment.engine import Stack
from tests.deployment.test_engine_backups import sql

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]

PROBES = """
from datetime import timedelta
from django.utils.timezone import now
from apps.jobs.models import Probe
Probe.objects.create(queue="ai", max_attempts=1, run_after=now() - timedelta(minutes=6))
Probe.objects.create(queue="ai", max_attempts=1, status="failed", finished_at=now())
"""
WORKERS = ("celery-worker", "celery-worker-billing")


@dataclass
class Watched:
    stack: Stack
    telegram: str

    def look(self) -> list[str]:
        """One minute's look; what it told."""
        before = len(self.sent())
        self.stack.run("scripts/runtime-anomaly-detector.sh")
        return self.sent()[before:]

    def sent(self) -> list[str]:
        messages = httpx.get(f"{self.telegram}/_sent", trust_env=False).json()["messages"]
        return [message["text"] for message in messages]

    def calm_down(self) -> list[str]:
        """What is over after three minutes without it."""
        for alarm in (self.stack.tree / ".state/alarms").iterdir():
            written = alarm.stat().st_mtime - 180
            os.utime(alarm, (written, written))
        return self.look()


@pytest.fixture
def watched(stack: Stack, outside: str) -> Iterator[Watched]:
    """Whatever is wrong by now (there may be no backup) is told before a test begins."""
    before = dict(stack.values)
    stack.write_environment(TELEGRAM_API_URL=f"{outside}/telegram", ADMIN_CHAT_IDS="7")
    watched = Watched(stack, f"{outside}/telegram")
    watched.look()
    yield watched
    stack.values = before
    stack.write_environment()


def each_once(told: list[str], sign: str, *expected: str) -> None:
    assert len(told) == len(expected), told
    assert all(text.startswith(sign) for text in told), told
    for words in expected:
        assert len([text for text in told if words in text]) == 1, (words, told)


def test_a_stopped_application_is_told_once_and_once_that_it_is_back(watched: Watched) -> None:
    watched.stack.compose("stop", "backend")
    try:
        told = watched.look()
        each_once(told, "🔴", "backend does not run: exited", "/health/ answers 503")
        assert watched.look() == []
    finally:
        watched.stack.compose("up", "--detach", "--wait", "--no-recreate", "backend")
    each_once(watched.calm_down(), "🟢", "backend does not run", "/health/ answers 503")


def test_jobs_that_wait_and_jobs_that_failed(watched: Watched) -> None:
    stack = watched.stack
    stack.compose("stop", *WORKERS)
    try:
        stack.compose("exec", "-T", "backend", "python", "manage.py", "shell", "-c", PROBES)
        each_once(
            watched.look(),
            "🔴",
            "celery-worker does not run",
            "celery-worker-billing does not run",
            "a job of jobs.Probe has waited for",
            "failed jobs wait for a decision (1)",
        )
        (failed,) = sql(stack, "SELECT id FROM jobs_probe WHERE status = 'failed'").split()
        dismiss = ("exec", "-T", "backend", "python", "manage.py", "jobs", "dismiss", failed)
        stack.compose(*dismiss, "--by", "Anna")
    finally:
        stack.compose("start", *WORKERS)
        stack.compose("up", "--detach", "--wait", "--no-recreate")
    assert len(watched.calm_down()) == 4
    sql(stack, "DELETE FROM jobs_probe")


@pytest.fixture
def low_alarm(stack: Stack) -> Iterator[None]:
    """Beat's alarm for memory is 1 MB."""
    compose = stack.tree / "compose.yml"
    text = compose.read_text()
    assert text.count(f'{ALARM}: "400"') == 1
    compose.write_text(text.replace(f'{ALARM}: "400"', f'{ALARM}: "1"'))
    start = ("up", "--detach", "--wait", "--no-deps", "celery-beat")
    stack.compose(*start)
    yield
    compose.write_text(text)
    stack.compose(*start)


def test_memory_over_its_alarm_and_a_restart_by_docker(watched: Watched, low_alarm: None) -> None:
    stack = watched.stack
    (told,) = watched.look()
    assert "celery-beat-1 uses " in told
    assert told.endswith("MB; the alarm is 1 MB")
    stack.compose("exec", "-T", "celery-beat", "sh", "-c", "kill -KILL -1", check=False)
    stack.compose("up", "--detach", "--wait", "--no-recreate", "celery-beat")
    told_then = watched.look()
    each_once(told_then, "🔴", "celery-beat was restarted by Docker within the last 10 minutes")


def test_an_alarm_outlives_a_telegram_that_is_down(watched: Watched) -> None:
    stack, backups = watched.stack, watched.stack.tree / "backups"
    aside = Path(f"{backups}.aside")
    if not backups.exists():
        stack.run("scripts/backup.sh")
        watched.calm_down()
    stack.write_environment(TELEGRAM_API_URL="http://127.0.0.1:9")
    backups.rename(aside)
    try:
        output = stack.run("scripts/runtime-anomaly-detector.sh", check=False)
        assert "Telegram does not answer (nothing)" in output
    finally:
        aside.rename(backups)
    assert stack.values["TELEGRAM_BOT_TOKEN"] not in output
    stack.write_environment(TELEGRAM_API_URL=watched.telegram)
    each_once(watched.look(), "🔴", "there is no backup of the last 26 hours")
