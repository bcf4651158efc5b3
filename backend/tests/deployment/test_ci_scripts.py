"""The scripts that CI runs besides check.sh and test.sh, each shown to fail."""

import json
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.deployment.clones import commit_all, git, make_clone, run_script
from tests.deployment.test_gates import BOT_TOKEN
from tests.processes import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Does here what it is told to do over there, and notes how it was asked.
SSH = """#!/usr/bin/env bash
printf '%s\\n' "$@" >"$NOTES/arguments"
cp -p "$2" "$NOTES/key"
for word in "$@"; do
  [[ $word != UserKnownHostsFile=* ]] || cp "${word#*=}" "$NOTES/known_hosts"
done
exec bash -c "${@: -1}"
"""
# The image is good where its name says so.
DOCKER = """#!/usr/bin/env bash
case $1 in
  image | pull) exit 0 ;;
  save) echo "$4" >"$3" ;;
  run)
    for word in "$@"; do [[ $word != *:/scan ]] || copy=${word%:/scan}; done
    ! grep -q bad "$copy/image.tar"
    ;;
  compose) printf 'good:1\\nbad:1\\n' ;;
esac
"""


def stand_in(directory: Path, name: str, text: str) -> str:
    """A PATH on which `name` is this script."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(text)
    (directory / name).chmod(0o755)
    return f"{directory}:/usr/local/bin:/usr/bin:/bin"


@pytest.fixture
def server(tmp_path: Path) -> dict[str, str]:
    """A clone on a server whose scripts say what they were asked, and how to get there."""
    clone = tmp_path / "clone"
    (clone / "scripts").mkdir(parents=True)
    for name in ("deploy.sh", "restore-rehearsal.sh", "rotate-secret.sh"):
        text = '#!/usr/bin/env bash\necho "${0##*/} $*"\nexit "${CODE:-0}"\n'
        (clone / "scripts" / name).write_text(text)
        (clone / "scripts" / name).chmod(0o755)
    git(clone, "init", "--quiet", "--initial-branch", "main")
    commit_all(clone, "One")
    git(clone, "clone", "--quiet", "--bare", ".", str(tmp_path / "origin"))
    git(clone, "remote", "add", "origin", str(tmp_path / "origin"))
    return {
        "PATH": stand_in(tmp_path / "bin", "ssh", SSH),
        "NOTES": str(tmp_path),
        "SERVER": "deploy@eatfit24.example",
        "SERVER_DIRECTORY": str(clone),
        "SERVER_HOST_KEY": "eatfit24.example ssh-ed25519 AAAA",
        "SERVER_KEY": "the key",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "TMPDIR": str(tmp_path),
    }


def test_a_deploy_goes_to_a_known_host_and_says_what_came_of_it(
    server: dict[str, str], tmp_path: Path
) -> None:
    commit = git(tmp_path / "clone", "rev-parse", "HEAD")
    done = run_script(ROOT, "on-server.sh", "deploy", commit, **server)
    assert (done.returncode, done.stdout) == (0, f"deploy.sh {commit[:12]}\n")
    assert git(tmp_path / "clone", "rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
    assert f"deploy.sh {commit[:12]}" in (tmp_path / "summary").read_text()
    assert (tmp_path / "known_hosts").read_text().strip() == server["SERVER_HOST_KEY"]
    assert (tmp_path / "key").read_text().strip() == "the key"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    arguments = (tmp_path / "arguments").read_text().split("\n")
    assert "StrictHostKeyChecking=yes" in arguments
    assert not Path(arguments[1]).exists(), "the key is gone"


def test_a_deploy_that_fails_fails_the_run(server: dict[str, str], tmp_path: Path) -> None:
    commit = git(tmp_path / "clone", "rev-parse", "HEAD")
    done = run_script(ROOT, "on-server.sh", "deploy", commit, **server, CODE="1")
    assert done.returncode == 1
    assert "deploy.sh" in (tmp_path / "summary").read_text()
    done = run_script(ROOT, "on-server.sh", "deploy", COMMIT, **server)
    assert done.returncode != 0, "the server cannot have a commit that is nowhere"
    assert "deploy.sh" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        (["deploy"], {}),
        (["deploy", "main; reboot"], {}),
        (["restart"], {}),
        ([], {}),
        (["deploy", COMMIT], {"SERVER_HOST_KEY": ""}),
        (["deploy", COMMIT], {"SERVER": "-oProxyCommand=reboot"}),
        (["deploy", COMMIT], {"SERVER_DIRECTORY": "/; reboot"}),
    ],
)
def test_nothing_is_run_there_where_the_asking_is_wrong(
    server: dict[str, str], tmp_path: Path, arguments: list[str], changes: dict[str, str]
) -> None:
    done = run_script(ROOT, "on-server.sh", *arguments, **{**server, **changes})
    assert done.returncode == 64
    assert not (tmp_path / "arguments").exists()


def test_rehearsals_and_ages_are_asked_for(server: dict[str, str]) -> None:
    done = run_script(ROOT, "on-server.sh", "restore-rehearsal", **server)
    assert done.stdout == "restore-rehearsal.sh --offsite\n"
    done = run_script(ROOT, "on-server.sh", "secrets", **server)
    assert done.stdout == "rotate-secret.sh --list --json\n"


def test_what_the_server_reports_of_secrets_becomes_a_table(tmp_path: Path) -> None:
    make_clone(tmp_path)
    shutil.copy(tmp_path / ".env.local", tmp_path / ".env")
    listed = run_script(tmp_path, "rotate-secret.sh", "--list", "--json").stdout

    def table(text: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(ROOT / "scripts/secrets-issue.sh")],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    code, text = table(listed)
    assert code == 0
    assert re.search(r"^\| name \| rotated at \| age days \|", text, re.MULTILINE)
    assert re.search(r"^\| SECRET_KEY \| never \|", text, re.MULTILINE)
    assert len(text.splitlines()) == 4 + len(json.loads(listed))
    for wrong in ("", "[]", "{}", "a fault"):
        code, text = table(wrong)
        assert code == 1
        assert "that is no list of secrets" in text


def test_an_image_with_a_weakness_that_has_a_fix_fails_the_scan(tmp_path: Path) -> None:
    path = stand_in(tmp_path / "bin", "docker", DOCKER)
    done = run_script(ROOT, "scan-image.sh", "good:1", PATH=path)
    assert done.returncode == 0, done.stdout
    done = run_script(ROOT, "scan-image.sh", PATH=path)
    assert done.returncode == 1
    assert "scan-image.sh: not clean: bad:1" in done.stdout


class Osv(BaseHTTPRequestHandler):
    """Knows of one weakness, in Django."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name, version = asked["package"]["name"], asked["version"]
        affected = {"package": {"name": name, "ecosystem": "PyPI"}, "versions": [version]}
        known = {"id": "PYSEC-2026-1", "summary": "Bad", "affected": [affected]}
        body = json.dumps({"vulns": [known]} if name == "django" else {}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def osv() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def test_a_package_with_a_known_weakness_fails_the_audit(osv: str) -> None:
    done = run_script(ROOT, "audit.sh", "packages", PIP_AUDIT_OSV_URL=osv)
    assert done.returncode == 1
    assert "Found 1 known vulnerability in 1 package" in done.stdout
    assert re.search(r"django\s.*PYSEC-2026-1", done.stdout)
    assert "FAILED  packages" in done.stdout


def test_an_audit_that_cannot_ask_fails() -> None:
    done = run_script(ROOT, "audit.sh", "packages", PIP_AUDIT_OSV_URL="http://127.0.0.1:9/")
    assert done.returncode == 1
    assert "FAILED  packages" in done.stdout


def test_a_secret_that_was_removed_again_is_found_in_the_history(tmp_path: Path) -> None:
    make_clone(tmp_path)
    (tmp_path / "docs/leak.md").write_text(f"The bot: {BOT_TOKEN}\n")
    commit_all(tmp_path, "Leaks")
    (tmp_path / "docs/leak.md").unlink()
    commit_all(tmp_path, "Hides")
    assert run_script(tmp_path, "check.sh", "secrets").returncode == 0
    done = run_script(tmp_path, "audit.sh", "history")
    assert done.returncode == 1
    assert "leak.md" in done.stdout
    assert BOT_TOKEN not in done.stdout


def test_coverage_fails_below_its_floor_and_when_the_floor_is_lowered(tmp_path: Path) -> None:
    make_clone(tmp_path)
    project = tmp_path / "backend/pyproject.toml"
    floor = re.compile(r"^fail_under = .*$", re.MULTILINE)
    high, low = (floor.sub(f"fail_under = {value}", project.read_text()) for value in (99, 1))
    project.write_text(high)
    before = commit_all(tmp_path, "High")
    test = "tests/operations/test_compose_rules.py"
    done = run_script(tmp_path, "coverage.sh", "--since", before, "-q", test)
    assert done.returncode == 2
    assert "Coverage failure: total of" in done.stdout
    project.write_text(low)
    done = run_script(tmp_path, "coverage.sh", "--since", before, "-q", test)
    assert done.returncode == 3
    assert f"the floor is 1, and was 99 at {before}: it only rises" in done.stdout
    commit_all(tmp_path, "Low")
    done = run_script(tmp_path, "coverage.sh", "--since", "0" * 40, "-q", test)
    assert done.returncode == 3, "on a branch that is pushed for the first time"
    assert run_script(tmp_path, "coverage.sh", "-q", test).returncode == 0
