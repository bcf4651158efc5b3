"""scripts/runtime-anomaly-detector.sh: told once when it begins, once when it is over.

Docker is a stand-in that answers from files; what is told goes to the sandbox's Telegram.
"""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from sandbox.embedded import free_port
from tests.processes import ROOT, wait_for

TOKEN = "123456:AADetector-secret_token"
MINUTE = 60

# Each question is answered by a file; a question without one fails, as an engine that is away does.
DOCKER = """#!/usr/bin/env bash
cd "$ANSWERS"
case "$*" in
  "compose config --services") cat services ;;
  "compose exec -T backend python manage.py jobs watch") cat jobs ;;
  "ps --quiet") cat running ;;
  "ps --all --quiet "*) echo some ;;
  "ps --filter "*) cat alarms ;;
  "inspect "*) cat containers ;;
  "stats "*) cat memory ;;
  "info "*) pwd ;;
  *) echo "what is docker $*?" >>unknown; exit 1 ;;
esac
"""
DF = """#!/usr/bin/env bash
printf 'Use%% Mounted on\\n%s %s\\n' "$(cat "$ANSWERS/disk")" /srv/data
"""


class Door(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(type(self).status if self.path == "/health/" else 404)
        self.end_headers()

    def log_request(self, *args: Any) -> None: ...


@dataclass
class Server:
    """A server on which all is well, until a test changes what it shows."""

    tree: Path
    telegram: str
    values: dict[str, str]
    chats: list[int] = field(default_factory=lambda: [7])

    @property
    def answers(self) -> Path:
        return self.tree / "answers"

    @property
    def state(self) -> Path:
        return self.tree / ".state"

    def show(self, name: str, text: str) -> None:
        (self.answers / name).write_text(text)

    def set(self, **values: str) -> None:
        self.values |= values
        lines = (f"{name}={value}\n" for name, value in self.values.items())
        (self.tree / ".env").write_text("".join(lines))

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            ["scripts/runtime-anomaly-detector.sh", *arguments],
            cwd=self.tree,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not (self.answers / "unknown").exists(), (self.answers / "unknown").read_text()
        assert TOKEN not in done.stdout + done.stderr
        return done

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.tree / 'bin'}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": os.environ["HOME"], "ANSWERS": str(self.answers)}

    def look(self) -> list[str]:
        """One minute's look; what it told."""
        before = len(self.sent())
        done = self.run()
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return self.sent()[before:]

    def sent(self) -> list[str]:
        messages = httpx.get(f"{self.telegram}/_sent", trust_env=False).json()["messages"]
        assert {message["chat_id"] for message in messages} <= set(self.chats)
        return [message["text"] for message in messages]

    def pass_minutes(self, minutes: float) -> None:
        """Everything that was written is that much older; WAL goes on being fetched."""
        for path in self.state.rglob("*"):
            if path.is_file() and path.name != "wal-fetched":
                written = path.stat().st_mtime - minutes * MINUTE
                os.utime(path, (written, written))


def container(service: str, status: str = "running", health: str = "healthy", **more: int) -> str:
    started = datetime.now(UTC) - timedelta(minutes=more.get("minutes", 10_000))
    return f"{service} {status} {health} {more.get('restarts', 0)} {started:%Y-%m-%dT%H:%M:%S.%fZ}"


def backup_name(**age: float) -> str:
    return f"{datetime.now(UTC) - timedelta(**age):%Y-%m-%dT%H-%M-%SZ}"


@pytest.fixture
def door() -> Iterator[ThreadingHTTPServer]:
    handler = type("OneDoor", (Door,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(tmp_path: Path, door: ThreadingHTTPServer, outside: str) -> Server:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name, text in (("docker", DOCKER), ("df", DF)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    server = Server(tmp_path, f"{outside}/telegram", {})
    server.answers.mkdir()
    server.state.mkdir()
    server.set(
        COMPOSE_PROJECT_NAME="shop",
        ALLOWED_HOSTS="eatfit24.example",
        CHECK_PORT=str(door.server_port),
        TELEGRAM_API_URL=f"{outside}/telegram",
        TELEGRAM_BOT_TOKEN=TOKEN,
        ADMIN_CHAT_IDS="7",
    )
    server.show("services", "db\nbackend\n")
    server.show("running", "")
    server.show("containers", f"{container('db')}\n{container('backend')}\n")
    server.show("alarms", "shop-db-1 \nshop-backend-1 700\n")
    server.show("memory", "shop-db-1 900MiB / 1GiB\nshop-backend-1 300MiB / 1.5GiB\n")
    server.show("jobs", "waiting 2 ai.Recognition\nfailed 0 all\n")
    server.show("disk", "40%")
    (tmp_path / "backups" / backup_name(hours=1)).mkdir(parents=True)
    (server.state / "wal-fetched").touch()
    return server


def test_where_all_is_well_nothing_is_said(server: Server) -> None:
    assert server.look() == []
    assert server.run("--dry-run").stdout == "nothing is wrong\n"


Change = Callable[[Server], None]


def spoil(name: str, text: str) -> Change:
    return lambda server: server.show(name, text)


def rehearse(result: str) -> Change:
    return lambda server: (
        (server.state / "restore-rehearsal").write_text(f"now\t{result}\tit came to nothing\n")
        and None
    )


def use_certificate(days: int) -> Change:
    def make(server: Server) -> None:
        directory = server.tree / "tls"
        directory.mkdir(exist_ok=True)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-subj", "/CN=a.example", "-days", str(days),
             "-keyout", directory / "privkey.pem", "-out", directory / "fullchain.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
        server.set(TLS_DIR=str(directory))

    return make


def spoil_certificate(server: Server) -> None:
    (server.tree / "tls").mkdir(exist_ok=True)
    (server.tree / "tls/fullchain.pem").write_text("nonsense")
    server.set(TLS_DIR=str(server.tree / "tls"))


def age_backup(**age: float) -> Change:
    def change(server: Server) -> None:
        (only,) = (server.tree / "backups").iterdir()
        only.rename(only.with_name(backup_name(**age)))

    return change


def age_wal(server: Server) -> None:
    (server.state / "wal-fetched").unlink()


def forget_offsite(server: Server) -> None:
    server.set(BACKUP_S3_BUCKET="far-away")


def keep(server: Server) -> None:
    """Another change of the same round shows it."""


def close_door(server: Server) -> None:
    server.set(CHECK_PORT=str(free_port()))


def fall_over(server: Server) -> None:
    rows = (
        container("db", health="unhealthy", restarts=1, minutes=9),
        container("backend", "exited", "unhealthy"),
    )
    server.show("containers", "\n".join(rows))


def recover(server: Server) -> None:
    rows = (
        container("db", restarts=4, minutes=11),
        container("backend"),
        container("backend", "exited"),
    )
    server.show("containers", "\n".join(rows))


ANOMALIES: tuple[dict[str, Change], ...] = (
    {
        "frontend does not run: there is no": spoil("services", "db\nbackend\nfrontend\n"),
        "backend does not run: exited": fall_over,
        "db is unhealthy": keep,
        "db was restarted by Docker": keep,
        "shop-backend-1 uses 734 MB; the alarm is 700 MB": spoil(
            "memory", "shop-db-1 900MiB / 1GiB\nshop-backend-1 700MiB / 1.5GiB\n"
        ),
        "a job of ai.Recognition has waited for 301 s": spoil(
            "jobs", "waiting 301 ai.Recognition\nfailed 3 all\n"
        ),
        "(3): manage.py jobs list": keep,
        "the disk of /srv/data is 91 % full": spoil("disk", "91%"),
        "/health/ answers nothing": close_door,
        "the certificate ends at": use_certificate(10),
        "no backup of the last 26 hours": age_backup(hours=27),
        "no WAL was fetched": age_wal,
        "nothing was copied off-site": forget_offsite,
        "the last rehearsal of a restore failed: it came to nothing": rehearse("failed"),
    },
    {
        "shop-backend-1 uses 1288 MB": spoil("memory", "shop-backend-1 1.2GiB / 1.5GiB\n"),
        "/fullchain.pem cannot be read": spoil_certificate,
        "no backup of the last 26 hours": lambda server: shutil.rmtree(server.tree / "backups"),
    },
)


@pytest.mark.parametrize("anomalies", ANOMALIES)
def test_it_is_told_once_when_it_begins_and_once_when_it_is_over(
    server: Server, tmp_path: Path, anomalies: dict[str, Change]
) -> None:
    whole = {path: path.read_text() for path in (tmp_path / ".env", *server.answers.iterdir())}
    for change in anomalies.values():
        change(server)

    def each_once(told: Iterable[str], sign: str) -> None:
        told = list(told)
        assert len(told) == len(anomalies), told
        assert all(text.startswith(sign) for text in told)
        for words in anomalies:
            assert len([text for text in told if words in text]) == 1, (words, told)

    each_once(server.run("--dry-run").stdout.splitlines(), "")
    assert server.sent() == [], "a dry run tells nobody"
    each_once(server.look(), "🔴 shop: ")
    assert server.look() == [], "it is known"
    for path, text in whole.items():
        path.write_text(text)
    (tmp_path / "backups" / backup_name(hours=1)).mkdir(parents=True)
    (server.state / "restore-rehearsal").unlink(missing_ok=True)
    (server.state / "wal-fetched").touch()
    server.pass_minutes(3)
    each_once(server.look(), "🟢 shop: over after ")
    assert server.look() == []


def test_just_below_what_is_told(server: Server) -> None:
    for change in (
        use_certificate(30),
        spoil("disk", "90%"),
        spoil("memory", "shop-backend-1 667MiB / 1.5GiB\nshop-db-1 900B / 1GiB\n"),
        spoil("alarms", "shop-db-1 700\nshop-backend-1 700\n"),
        spoil("jobs", "waiting 300 ai.Recognition\nfailed 0 all\n"),
        age_backup(hours=25),
        rehearse("ok"),
        recover,
    ):
        change(server)
    assert server.look() == []


def test_a_rehearsal_that_was_never_done_or_long_ago(server: Server, tmp_path: Path) -> None:
    (tmp_path / "backups" / backup_name(days=11)).mkdir()
    assert "no restore was ever rehearsed" in server.look()[0]
    rehearse("ok")(server)
    server.pass_minutes(11 * 24 * 60)
    assert "no restore was rehearsed for 10 days" in server.run("--dry-run").stdout


def test_what_comes_and_goes_is_one_alarm(server: Server) -> None:
    high, low = "shop-backend-1 900MiB / 1.5GiB\n", "shop-backend-1 300MiB / 1.5GiB\n"
    told = []
    for memory in (high, low, high, low, high):
        server.show("memory", memory)
        told += server.look()
        server.pass_minutes(1)
    assert len(told) == 1, told


def test_while_docker_is_away_what_was_told_of_containers_still_holds(server: Server) -> None:
    server.show("jobs", "waiting 0 ai.Recognition\nfailed 1 all\n")
    server.show("containers", container("db") + "\n")
    assert len(server.look()) == 2
    (server.answers / "running").unlink()
    assert server.look() == ["🔴 shop: Docker does not answer"]
    server.pass_minutes(5)
    assert server.look() == [], "not over: it cannot be seen"
    server.show("running", "")
    (server.answers / "services").unlink()
    assert "compose.yml and .env cannot be read" in server.look()[0]


def test_while_the_backend_is_away_nothing_is_said_of_its_jobs(server: Server) -> None:
    server.show("jobs", "waiting 0 ai.Recognition\nfailed 1 all\n")
    assert len(server.look()) == 1
    (server.answers / "jobs").unlink()
    server.show("containers", f"{container('db')}\n{container('backend', 'exited')}\n")
    server.pass_minutes(5)
    assert server.look() == ["🔴 shop: backend does not run: exited"]


def test_jobs_that_a_healthy_backend_cannot_count_are_told(server: Server) -> None:
    (server.answers / "jobs").unlink()
    (told,) = server.look()
    assert "jobs cannot be counted" in told


def test_a_deploy_is_quiet_but_not_for_ever(server: Server, door: ThreadingHTTPServer) -> None:
    server.show("disk", "95%")
    (server.state / "deploying").touch()
    server.show("containers", container("db", "exited") + "\n")
    door.RequestHandlerClass.status = 502  # type: ignore[attr-defined]
    assert server.look() == ["🔴 shop: the disk of /srv/data is 95 % full"]
    server.pass_minutes(31)
    told = " ".join(server.look())
    for words in ("db does not run: exited", "backend does not run", "/health/ answers 502"):
        assert words in told
    (server.state / "deploying").touch()
    server.pass_minutes(5)
    assert server.look() == [], "what a deploy hides is not over"


def order(server: Server, kind: str, **more: Any) -> None:
    url = server.telegram.removesuffix("/telegram")
    wish = {"service": "telegram", "kind": kind, **more}
    httpx.post(f"{url}/_faults", json=wish, trust_env=False).raise_for_status()


def test_a_telegram_that_is_down_loses_no_alarm(server: Server) -> None:
    telegram = server.values["TELEGRAM_API_URL"]
    server.show("disk", "95%")
    server.set(TELEGRAM_API_URL=f"http://127.0.0.1:{free_port()}")
    done = server.run()
    assert done.returncode == 1
    assert "Telegram does not answer (nothing)" in done.stderr
    server.set(TELEGRAM_API_URL=telegram)
    for kind in (
        {"kind": "status", "status": 500},
        {"kind": "too_many_requests", "retry_after": 9},
    ):
        order(server, **kind)
        assert server.run().returncode == 1
    server.show("disk", "40%")
    server.pass_minutes(6)
    begins, over = server.look()
    assert begins.startswith("🔴 shop: the disk of /srv/data is 95 % full (2"), "and when"
    assert over.startswith("🟢 shop: over after")
    assert list((server.state / "outbox").iterdir()) == []


def test_an_administrator_who_blocked_the_bot_keeps_nothing_from_the_others(server: Server) -> None:
    server.chats = [7, -100200]
    server.set(ADMIN_CHAT_IDS="7, -100200")
    order(server, "refusal", status=403, description="Forbidden: bot was blocked by the user")
    server.show("disk", "95%")
    done = server.run()
    assert done.returncode == 0
    assert "Telegram refuses chat 7 (403)" in done.stderr
    assert len(server.sent()) == 1
    assert list((server.state / "outbox").iterdir()) == []


def test_without_administrators_it_is_said_on_the_output_alone(server: Server) -> None:
    server.set(ADMIN_CHAT_IDS="")
    server.show("disk", "95%")
    done = server.run()
    assert (done.returncode, done.stdout) == (0, "🔴 shop: the disk of /srv/data is 95 % full\n")
    assert server.sent() == []


def test_the_token_is_in_no_list_of_processes(server: Server) -> None:
    """While Telegram hangs, every process of the detector is looked at."""
    order(server, "latency", seconds=1)
    server.show("disk", "95%")
    process = subprocess.Popen(
        ["scripts/runtime-anomaly-detector.sh"],
        cwd=server.tree,
        env=server.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def seen() -> list[str]:
        """Arguments of the detector and of all that it started."""
        lines = []
        for one in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):  # it ended meanwhile
                lines.append(" ".join(one.cmdline()))
                assert TOKEN not in json.dumps(one.environ())
        assert TOKEN not in "".join(lines)
        return lines

    wait_for(lambda: any("curl" in line and "--config" in line for line in seen()), "it tells")
    assert process.wait(30) == 0
    assert len(server.sent()) == 1


def test_two_at_once_tell_once(server: Server) -> None:
    order(server, "latency", seconds=1)
    server.show("disk", "95%")
    first = subprocess.Popen(
        ["scripts/runtime-anomaly-detector.sh"],
        cwd=server.tree,
        env=server.environment,
        stdout=subprocess.DEVNULL,
    )
    wait_for(lambda: list((server.state / "outbox").glob("*")), "it tells")
    second = server.run()
    assert second.returncode == 1
    assert "another detector runs" in second.stderr
    assert first.wait(30) == 0
    assert len(server.sent()) == 1


def test_wrong_arguments_and_help(server: Server) -> None:
    assert server.run("--nonsense").returncode == 64
    assert "Exit codes" in server.run("--help").stdout
