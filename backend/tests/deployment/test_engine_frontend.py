"""The frontend on a real engine: who is believed, what is refused, what people see meanwhile."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.compose import load_compose
from tests.deployment.engine import Stack
from tests.processes import ROOT, wait_for

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]

FORGED = "185.71.76.1"
HOST = "eatfit24.example"


@contextmanager
def configured(stack: Stack, **values: str) -> Iterator[None]:
    """The frontend alone starts again with these values, and later without."""
    stack.write_environment(**values)
    try:
        stack.compose("up", "--detach", "--wait", "--no-deps", "frontend")
        yield
    finally:
        stack.write_environment(**dict.fromkeys(values, ""))
        stack.compose("up", "--detach", "--wait", "--no-deps", "frontend")


def seen_as(stack: Stack, url: str, **headers: str) -> str:
    """The address that the backend was told for a request with these headers."""
    answer = httpx.get(f"{url}/api/v1/health/", headers=headers)
    request_id = answer.headers["X-Request-ID"]
    pattern = f'"request_id":"{request_id}"'

    def logged() -> str | None:
        lines = stack.compose("logs", "--no-log-prefix", "--tail", "50", "frontend").splitlines()
        return next((line for line in lines if pattern in line), None)

    line = wait_for(logged, "the request is logged")
    return line.rpartition('"client":"')[2].partition('"')[0]


def notified(url: str, sender: str) -> int:
    """How somebody is answered who says that they are the provider, and says nothing else."""
    headers = {"Host": HOST, "X-Forwarded-For": sender}
    path = "/api/v1/billing/yookassa/notifications"
    return httpx.post(f"{url}{path}", headers=headers, content=b"{}").status_code


def urls(stack: Stack) -> list[str]:
    port = stack.values["PUBLIC_PORT"]
    return [f"http://127.0.0.1:{port}", f"http://[::1]:{port}"]


def test_nobody_says_himself_who_he_is(stack: Stack) -> None:
    for url in urls(stack):
        for claimed in (FORGED, f"{FORGED}, 127.0.0.1", f"::ffff:{FORGED}"):
            assert FORGED not in seen_as(stack, url, **{"X-Forwarded-For": claimed})
            assert notified(url, claimed) == 403


def test_a_trusted_proxy_is_believed(stack: Stack) -> None:
    (url, *_) = urls(stack)
    peer = seen_as(stack, url)
    with configured(stack, TRUSTED_PROXIES=f"{peer}/32,fd00::/8"):
        assert seen_as(stack, url, **{"X-Forwarded-For": FORGED}) == FORGED
        assert notified(url, FORGED) == 400, "its sender is believed; it is no notification"
        # The client wrote the first address itself; the proxy added the second.
        forged = {"X-Forwarded-For": f"1.2.3.4, {FORGED}"}
        assert seen_as(stack, url, **forged) == FORGED
        secure = httpx.get(f"{url}/app", headers={"Host": HOST, "X-Forwarded-Proto": "https"})
        assert "strict-transport-security" in secure.headers
    plain = httpx.get(f"{url}/app", headers={"Host": HOST, "X-Forwarded-Proto": "https"})
    assert "strict-transport-security" not in plain.headers


def make_certificate(directory: Path) -> None:
    directory.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", f"/CN={HOST}", "-keyout", directory / "privkey.pem",
         "-out", directory / "fullchain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip


def test_a_proxy_of_this_machine_comes_from_the_gateway(stack: Stack) -> None:
    """As docs/RUN_PROD.md has it, and nginx takes the file that is there for it."""
    network = f"{stack.values['COMPOSE_PROJECT_NAME']}_public"
    template = "{{(index .IPAM.Config 0).Gateway}}"
    gateway = stack.run("docker", "network", "inspect", "--format", template, network).strip()
    assert seen_as(stack, urls(stack)[0]) == gateway

    make_certificate(stack.tree / "live")
    site = (ROOT / "deploy/host/nginx.conf").read_text()
    site = site.replace(f"/etc/letsencrypt/live/{HOST}", "/live")
    (stack.tree / "live/nginx.conf").write_text(f"events {{}} http {{ {site} }}")
    said = stack.run(
        "docker", "run", "--rm", "--user", "0", "--network", "none", "--entrypoint", "nginx",
        "--volume", f"{stack.tree / 'live'}:/live:ro",
        load_compose(ROOT / "compose.yml")["services"]["frontend"]["image"],
        "-t", "-c", "/live/nginx.conf",
    )  # fmt: skip
    assert "test is successful" in said


def test_a_proxy_on_the_same_server_is_believed_and_nobody_passes_it_by(stack: Stack) -> None:
    ours, past_it = urls(stack)
    project = stack.values["COMPOSE_PROJECT_NAME"]
    gateway = "{{(index .IPAM.Config 0).Gateway}}"
    found = stack.run("docker", "network", "inspect", "--format", gateway, f"{project}_public")
    # Whoever comes over IPv6 looks like that proxy: the engine itself hands these on.
    assert seen_as(stack, past_it) == found.strip()
    with configured(stack, TRUSTED_PROXIES=f"{found.strip()}/32", PUBLIC_ADDRESS="127.0.0.1"):
        assert seen_as(stack, ours, **{"X-Forwarded-For": FORGED}) == FORGED
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{past_it}/app")


def test_with_a_certificate_the_port_speaks_tls(stack: Stack) -> None:
    directory = stack.tree / "certificates"
    make_certificate(directory)
    for path in (directory, *directory.iterdir()):
        shutil.chown(path, 101)
    port = stack.values["PUBLIC_PORT"]
    with configured(stack, TLS_DIR="./certificates"):
        done = subprocess.run(
            ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "-H",
             f"Host: {HOST}", f"https://127.0.0.1:{port}/app"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout == "2 200"
        moved = httpx.post(f"http://127.0.0.1:{port}/api/v1/x?y=1", headers={"Host": HOST})
        assert moved.status_code == 307
        assert moved.headers["Location"] == f"https://{HOST}/api/v1/x?y=1"
        old = ["openssl", "s_client", "-tls1_1", "-connect", f"127.0.0.1:{port}"]
        assert subprocess.run(old, input=b"", capture_output=True, check=False).returncode != 0
        report = json.loads(stack.run("scripts/smoke-test.sh", "--json"))
        assert report["ok"], report
    shutil.rmtree(directory)


def test_answers_carry_a_policy(stack: Stack) -> None:
    page = httpx.get(f"{stack.url}/app").headers["Content-Security-Policy"]
    assert page.startswith("default-src 'self'")
    assert "telegram.org" in page, "the application's own"
    docs = httpx.get(f"{stack.url}/api/v1/docs").headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in docs
    assert "script-src" not in docs
    api = httpx.get(f"{stack.url}/api/v1/health/").headers
    assert api["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert api["X-Content-Type-Options"] == "nosniff"
    assert api["Server"] == "nginx"


def test_static_files_stay_with_the_browser_and_pages_do_not(stack: Stack) -> None:
    page = httpx.get(f"{stack.url}/app")
    path = page.text.partition('href="/static/')[2].partition('"')[0]
    static = httpx.get(f"{stack.url}/static/{path}", headers={"Accept-Encoding": "gzip"})
    assert static.status_code == 200
    assert "immutable" in static.headers["Cache-Control"]
    assert page.headers["Cache-Control"] == "no-cache"


def test_what_is_too_big_is_refused_before_the_backend(stack: Stack) -> None:
    answer = httpx.post(f"{stack.url}/api/v1/diary/meals", content=b"x" * 1_100_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_big")


def test_a_flood_of_logins_is_stopped_at_the_door(stack: Stack) -> None:
    answers = [
        httpx.post(f"{stack.url}/api/v1/auth/telegram", json={"init_data": "x"}) for _ in range(120)
    ]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {answer.status_code for answer in answers} <= {401, 429}
    for answer in refused:
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert answer.json()["code"] == "rate_limited"
        assert int(answer.headers["Retry-After"]) > 0
    assert httpx.get(f"{stack.url}/app").status_code == 200, "whoever reads is not held up"


def test_while_the_backend_is_away_people_are_told(stack: Stack) -> None:
    stack.compose("stop", "backend")
    try:
        page = httpx.get(f"{stack.url}/app", timeout=20)
        api = httpx.get(f"{stack.url}/api/v1/health/", timeout=20)
    finally:
        stack.compose("up", "--detach", "--wait")
    assert page.status_code == api.status_code == 503
    assert "Одну минуту" in page.text
    assert api.json()["code"] == "temporarily_unavailable"
    assert page.headers["Retry-After"] == api.headers["Retry-After"] == "5"
    wait_for(stack.answers, "it is back by itself")


def test_a_backend_that_is_named_and_gone_is_not_waited_for(stack: Stack) -> None:
    """What a deploy that was killed may leave behind."""
    named = stack.tree / ".state/frontend/a"
    named.touch()
    try:
        stack.compose("restart", "frontend")
        wait_for(stack.answers, "it serves")
        posted = httpx.post(f"{stack.url}/api/v1/auth/telegram", json={"init_data": "x"})
        assert posted.json()["code"] == "login_refused"
    finally:
        named.unlink()


def test_nothing_secret_is_logged(stack: Stack) -> None:
    httpx.get(
        f"{stack.url}/app?tgWebAppData=do-not-log", headers={"Authorization": "Bearer no-log"}
    )
    logs = stack.compose("logs", "frontend", "backend")
    assert "do-not-log" not in logs
    assert "no-log" not in logs
