"""Secrets rotated under load: not one failed request, and the former one is dead at the end."""

import json
import secrets
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from config.contract import parse_file
from sandbox.embedded import free_port
from tests.deployment.engine import BOT_TOKEN, Site, login_data, running_site
from tests.load import Load
from tests.processes import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("rotation")]

SCRIPT = "scripts/rotate-secret.sh"
OUTSIDE = "http://outside:8090"
PROVIDERS = {
    "TELEGRAM_API_URL": f"{OUTSIDE}/telegram",
    "TELEGRAM_BOT_API_SECRET": secrets.token_hex(32),
    "OPENROUTER_BASE_URL": f"{OUTSIDE}/openrouter/api/v1",
    "OPENROUTER_API_KEY": "sk-or-former-key",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site"), **PROVIDERS) as site:
        yield site


@pytest.fixture
def outside(site: Site) -> Iterator[httpx.Client]:
    """The sandbox, where this site's workers find the providers."""
    port = free_port()
    project, release = site.values["COMPOSE_PROJECT_NAME"], named(site)["RELEASE"]
    container = site.run(
        *("docker", "run", "--detach", "--rm", "--network", f"{project}_outbound"),
        *("--network-alias", "outside", "--publish", f"127.0.0.1:{port}:8090"),
        *("--volume", f"{site.tree}/backend/sandbox:/app/backend/sandbox:ro"),
        *("--workdir", "/app/backend", "--entrypoint", "python", f"{project}-backend:{release}"),
        *("-m", "sandbox", "--host", "0.0.0.0", "--port", "8090"),
    ).strip()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            wait_for(lambda: answers(client), "the sandbox answers")
            yield client
    finally:
        site.run("docker", "stop", "--time", "1", container, check=False)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/_log").status_code == 200
    except httpx.HTTPError:
        return False


def order(outside: httpx.Client, service: str, *statuses: int) -> None:
    """What it answers next; 0 is as ever."""
    for status in statuses:
        how = {"kind": "status", "status": status} if status else {"kind": "latency", "seconds": 0}
        assert outside.post("/_faults", json={"service": service, **how}).status_code == 201


def received(outside: httpx.Client, service: str) -> list[str]:
    entries = outside.get("/_log", params={"service": service}).json()["entries"]
    return [entry["path"].rpartition("/")[2] for entry in entries]


@pytest.fixture
def load(site: Site) -> Iterator[Load]:
    with Load(f"{site.url}/app") as load:
        wait_for(lambda: load.outcome.served > 10, "the load runs")
        yield load


def no_failures(load: Load) -> None:
    load.stop()
    assert not load.outcome.failures, load.outcome
    assert load.outcome.served > 50


def named(site: Site) -> dict[str, str]:
    return parse_file(site.tree / ".env")


def containers(site: Site) -> set[str]:
    return set(site.compose("ps", "--quiet").split())


def ask(site: Site, method: str, path: str, **how: Any) -> httpx.Response:
    headers = {"Host": "eatfit24.example", "X-Forwarded-Proto": "https", **how.pop("headers", {})}
    return httpx.request(method, f"{site.check_url}{path}", headers=headers, timeout=20, **how)


def log_in(site: Site) -> str:
    body = {"init_data": login_data(4711)}
    answer = ask(site, "POST", "/api/v1/auth/telegram", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def believed(site: Site, token: str) -> bool:
    answer = ask(site, "GET", "/api/v1/profile", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def logs_in(site: Site, role: str, password: str) -> bool:
    """Over TCP, as the processes do."""
    asking = ("psql", "-h", "db", "-U", role, "-d", "eatfit24", "-c", "TABLE django_migrations")
    done = subprocess.run(
        ["docker", "compose", "exec", "-T", "-e", "PGPASSWORD", "db", *asking],
        cwd=site.tree,
        env={**site.environment, "PGPASSWORD": password},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or "password authentication failed" in done.stderr, done.stderr
    return done.returncode == 0


def listed(site: Site, name: str) -> dict[str, Any]:
    entries = json.loads(site.run(SCRIPT, "--list", "--json"))
    (found,) = [entry for entry in entries if entry["name"] == name]
    return dict(found)


def changes_nothing(site: Site) -> None:
    before = containers(site)
    site.compose("up", "--detach", "--wait")
    assert containers(site) == before
    assert len(before) == 7
    assert (site.tree / ".env").stat().st_mode & 0o777 == 0o600


def cut_short(site: Site, *arguments: str, after: str, how: signal.Signals) -> None:
    """Once it has said these words."""
    with subprocess.Popen(
        [SCRIPT, *arguments],
        cwd=site.tree,
        env=site.environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as script:
        assert script.stdout
        for line in script.stdout:
            if after in line:
                break
        script.send_signal(how)
        script.communicate(timeout=300)


def once_it_may(site: Site, *arguments: str) -> str:
    """What it says when what the killed one had started has ended."""

    def said() -> str | None:
        told = site.run(SCRIPT, *arguments, check=False)
        return None if "another deploy" in told else told

    return str(wait_for(said, "what it had started has ended", seconds=300))


def test_a_key_is_rotated_and_its_tokens_live_through_the_overlap(site: Site, load: Load) -> None:
    old, token = named(site)["SECRET_KEY"], log_in(site)
    assert "would:" in site.run(SCRIPT, "--dry-run", "SECRET_KEY")
    assert named(site)["SECRET_KEY"] == old

    said = site.run(SCRIPT, "SECRET_KEY")
    new = named(site)["SECRET_KEY"]
    assert (new != old, named(site)["SECRET_KEY_FALLBACKS"]) == (True, old)
    assert believed(site, token), "signed with the former key"
    later = log_in(site)
    assert listed(site, "SECRET_KEY")["overlap"] == "open"
    changes_nothing(site)
    assert "--finish SECRET_KEY first" in site.run(SCRIPT, "SECRET_KEY", check=False)
    assert "nobody is there to answer" in site.run(SCRIPT, "--finish", "SECRET_KEY", check=False)

    said += site.run(SCRIPT, "--finish", "--yes", "SECRET_KEY")
    assert "is refused" in said
    assert not believed(site, token)
    assert believed(site, later)
    assert listed(site, "SECRET_KEY") | {"rotated_at": ""} == {
        "name": "SECRET_KEY", "rotated_at": "", "age_days": 0, "overlap": None, "finish_from": None,
    }  # fmt: skip
    changes_nothing(site)
    assert old not in said
    assert new not in said
    no_failures(load)


def who_has_a_password(site: Site) -> list[str]:
    """Who may log in, and each beyond what a login may be is told by the words after it."""
    rows = site.compose(
        *("exec", "-T", "db", "psql", "-U", "postgres", "-d", "eatfit24", "-qtAF,", "-c"),
        "SELECT rolname, CASE WHEN rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls"
        "  OR EXISTS (SELECT FROM pg_class WHERE relowner = r.oid) THEN 'powerful' END"
        " FROM pg_roles r JOIN pg_shadow ON usename = rolname WHERE rolcanlogin AND passwd <> ''",
    )
    return rows.split()


def test_a_rotation_ended_before_it_moved_leaves_all_as_it_was(site: Site, load: Load) -> None:
    before, values = containers(site), named(site)
    cut_short(site, "POSTGRES_PASSWORD", after="starting a backend", how=signal.SIGTERM)
    assert (containers(site), named(site)) == (before, values)
    assert who_has_a_password(site) == ["eatfit24_a,"]
    assert listed(site, "POSTGRES_PASSWORD")["overlap"] is None
    changes_nothing(site)
    no_failures(load)


def test_a_password_is_rotated_though_it_was_killed_half_way(site: Site, load: Load) -> None:
    old, database = named(site)["POSTGRES_PASSWORD"], site.compose("ps", "--quiet", "db")
    assert logs_in(site, "eatfit24_a", old)

    cut_short(site, "POSTGRES_PASSWORD", after="moves over to", how=signal.SIGKILL)
    said = once_it_may(site, "POSTGRES_PASSWORD")
    assert "going on with what was cut short" in said
    assert "is refused" in said
    new = named(site)["POSTGRES_PASSWORD"]
    assert (new != old, named(site)["POSTGRES_USER"]) == (True, "eatfit24_b")
    assert logs_in(site, "eatfit24_b", new)
    assert not logs_in(site, "eatfit24_a", old)
    assert not logs_in(site, "eatfit24_a", new)
    changes_nothing(site)
    assert site.compose("ps", "--quiet", "db") == database, "the database's container stays"
    assert not list((site.tree / ".state/secrets").glob("*.*")), "no value is left there"
    assert who_has_a_password(site) == ["eatfit24_b,"], "neither owner nor superuser"
    for secret in (old, new):
        assert secret not in said
        assert secret not in site.compose("logs", "--no-color")

    site.run(SCRIPT, "--emergency", "POSTGRES_PASSWORD")
    assert named(site)["POSTGRES_USER"] == "eatfit24_a", "they take turns"
    assert not logs_in(site, "eatfit24_b", new)
    assert who_has_a_password(site) == ["eatfit24_a,"]
    assert site.compose("ps", "--quiet", "db") == database
    no_failures(load)


def hears(site: Site, secret: str) -> bool:
    """Whether the webhook listens to who says this; what it is told is no update."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": secret}
    answer = ask(site, "POST", "/bot/webhook", json={}, headers=headers)
    assert answer.status_code in (400, 403), answer.text
    return answer.status_code == 400


def test_a_webhook_hears_both_until_the_former_secret_is_finished(
    site: Site, load: Load, outside: httpx.Client
) -> None:
    name, old = "TELEGRAM_BOT_API_SECRET", named(site)["TELEGRAM_BOT_API_SECRET"]
    workers = set(site.compose("ps", "--quiet", "celery-worker", "celery-beat").split())
    order(outside, "telegram", 500)
    assert "run the same again" in site.run(SCRIPT, name, check=False), "not registered"
    assert listed(site, name)["overlap"] == "interrupted"
    site.run(SCRIPT, name)
    new = named(site)[name]
    assert received(outside, "telegram")[-2:] == ["setWebhook", "getWebhookInfo"]
    assert (new != old, hears(site, old), hears(site, new)) == (True, True, True)
    site.run(SCRIPT, "--finish", "--yes", name)
    assert (hears(site, old), hears(site, new)) == (False, True)
    left = set(site.compose("ps", "--quiet", "celery-worker", "celery-beat").split())
    assert left == workers, "who does not have it stays"
    no_failures(load)


def test_a_providers_key_is_tried_before_and_after(site: Site, outside: httpx.Client) -> None:
    name, old, new = "OPENROUTER_API_KEY", "sk-or-former-key", "sk-or-'$next"
    before, backend = containers(site), site.compose("ps", "--quiet", "backend")

    def give(value: str) -> str:
        return site.run("bash", "-c", f"{SCRIPT} {name} <key", check=False)

    (site.tree / "key").write_text(f"{new}\n")
    assert "without spaces, quotes" in give(new)
    new = "sk-or-$next"
    (site.tree / "key").write_text(f"{new}\n")
    order(outside, "openrouter", 401)
    assert "refused by OpenRouter" in give(new)
    assert (named(site)[name], containers(site)) == (old, before), "nothing was changed"

    give(new)
    assert named(site)[name] == new
    held = site.compose("exec", "-T", "celery-worker", "printenv", name).strip()
    assert held == new
    assert site.compose("ps", "--quiet", "backend") == backend, "it has no such key"
    changes_nothing(site)
    assert "is alive: revoke it" in site.run(SCRIPT, "--finish", name, check=False)
    assert listed(site, name)["overlap"] == "open"
    order(outside, "openrouter", 401)
    assert "is refused" in site.run(SCRIPT, "--finish", name)
    assert set(received(outside, "openrouter")) == {"key"}
    assert listed(site, name)["overlap"] is None


def test_a_lost_database_comes_back_with_the_rotated_password(site: Site) -> None:
    token = log_in(site)
    site.run("scripts/backup.sh")
    site.compose("rm", "--stop", "--force", "db")
    site.run("docker", "volume", "rm", f"{site.values['COMPOSE_PROJECT_NAME']}_db")
    site.run("scripts/restore.sh", "--yes")
    assert believed(site, token)
    values = named(site)
    assert logs_in(site, values["POSTGRES_USER"], values["POSTGRES_PASSWORD"])
    assert not logs_in(site, "eatfit24_a", values["POSTGRES_FIRST_PASSWORD"])
    changes_nothing(site)


def test_a_leaked_token_lets_nobody_in(site: Site, load: Load, outside: httpx.Client) -> None:
    token = log_in(site)
    (site.tree / "key").write_text("123456:AAEngine-next_token\n")
    order(outside, "telegram", 0, 0, 0, 401)  # getMe, the webhook, and getMe by the former one
    said = site.run("bash", "-c", f"{SCRIPT} --emergency TELEGRAM_BOT_TOKEN <key")
    assert "is refused" in said
    assert BOT_TOKEN not in said
    body = {"init_data": login_data(4711)}
    assert ask(site, "POST", "/api/v1/auth/telegram", json=body).status_code == 401
    assert believed(site, token), "who is logged in stays"
    no_failures(load)
