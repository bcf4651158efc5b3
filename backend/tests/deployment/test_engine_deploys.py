"""Deploys and roll-backs under load: not one failed request, and a way back from each failure."""

import fcntl
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.engine import Site, running_site
from tests.load import Load
from tests.processes import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("deploys")]

MARKED = """
from django.db import migrations

class Migration(migrations.Migration):
    breaks_earlier_code = True
    dependencies = [("operations", "0001_report")]
    operations = [migrations.RunSQL("SELECT 1", "SELECT 1")]
"""

# Alive, and wrong: the process answers its own check, and everybody else with 500.
BROKEN = """

_sound = application

def application(environ, start_response):
    if environ["PATH_INFO"] == "/health/live/":
        return _sound(environ, start_response)
    start_response("500 Internal Server Error", [("Content-Length", "0")])
    return []
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def load(site: Site) -> Iterator[Load]:
    with Load(f"{site.url}/app") as load:
        wait_for(lambda: load.outcome.served > 10, "the load runs")
        yield load


def no_failures(load: Load) -> None:
    load.stop()
    assert not load.outcome.failures, load.outcome
    assert load.outcome.served > 50


def test_the_measurement_notices_a_plain_recreate(site: Site, load: Load) -> None:
    site.compose("up", "--detach", "--wait", "--force-recreate", "--no-deps", "backend")
    load.stop()
    assert load.outcome.failures, "or nothing below is worth anything"


def test_a_deploy_and_a_roll_back_lose_no_request(site: Site, load: Load) -> None:
    old = site.named()
    new = site.commit("README.md", "\n")
    assert "would:" in site.run("scripts/deploy.sh", "--dry-run")
    assert site.serves(old)
    site.run("scripts/deploy.sh")
    assert site.serves(new)
    recorded = site.compose("exec", "-T", "backend", "python", "manage.py", "release")
    assert recorded.strip() == new
    before = set(site.compose("ps", "--quiet").split())
    site.compose("up", "--detach", "--wait")
    assert set(site.compose("ps", "--quiet").split()) == before, "up -d changes nothing"
    site.run("scripts/rollback.sh")
    assert site.serves(old)
    no_failures(load)


def test_a_release_that_answers_wrongly_never_gets_a_request(site: Site, load: Load) -> None:
    old = site.named()
    bad = site.commit("backend/config/wsgi.py", BROKEN)
    said = site.run("scripts/deploy.sh", check=False)
    site.run("git", "revert", "--no-edit", "HEAD")
    assert f"rolled back: {old} serves" in said
    assert site.serves(old), bad
    no_failures(load)


def rolled_back(site: Site) -> str | None:
    """What the roll-back says; nothing while a command of the killed deploy goes on."""
    said = site.run("scripts/rollback.sh", check=False)
    return None if "another deploy" in said else said


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_deploy_that_is_cut_short_loses_no_request(
    site: Site, load: Load, how: signal.Signals
) -> None:
    old = site.named()
    new = site.commit("README.md", "\n")
    with subprocess.Popen(
        ["scripts/deploy.sh"],
        cwd=site.tree,
        env=site.environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as deploy:
        assert deploy.stdout
        for line in deploy.stdout:
            if "the workers follow" in line:
                break
        deploy.send_signal(how)
        deploy.communicate(timeout=300)
    assert site.named() == old
    if how == signal.SIGKILL:
        said = wait_for(lambda: rolled_back(site), "what it had started has ended", seconds=300)
        assert "back to" in said
    assert site.serves(old), "as it was"
    site.run("scripts/deploy.sh")
    assert site.serves(new), "and the next one succeeds"
    no_failures(load)


def test_one_deploy_at_a_time(site: Site) -> None:
    with (site.tree / ".state/deploy.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for script in ("scripts/deploy.sh", "scripts/rollback.sh"):
            assert "another deploy" in site.run(script, check=False)


def test_a_schema_that_moved_on_is_not_rolled_back(site: Site) -> None:
    old = site.named()
    migration = "backend/apps/operations/migrations/9999_marked.py"
    new = site.commit(migration, MARKED)
    site.run("scripts/deploy.sh")
    said = site.run("scripts/rollback.sh", check=False)
    assert f"refused: {old} cannot read" in said
    assert "operations.9999_marked" in said
    assert "go forward instead" in said
    assert site.serves(new)


def test_the_last_three_images_stay(site: Site) -> None:
    history = (site.tree / ".state/releases").read_text().split()[1::2]
    repository = f"{site.values['COMPOSE_PROJECT_NAME']}-backend"
    kept = site.run("docker", "images", "--format", "{{.Tag}}", repository).split()
    assert site.named() in kept
    assert set(list(dict.fromkeys(reversed(history)))[:3]) <= set(kept)
    gone = site.run("scripts/rollback.sh", history[0], check=False)
    assert history[0] in kept or "is not here any more" in gone
    assert Path(site.tree / ".env").stat().st_mode & 0o777 == 0o600
