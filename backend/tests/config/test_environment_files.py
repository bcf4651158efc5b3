"""The .env files, the Compose files and the document say what the contract says."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from config import contract
from config.combinations import PREFORK_ALONE
from config.contract import BY_NAME, VARIABLES
from tests.compose import load_compose
from tests.config.environments import run_python
from tests.processes import ROOT

EXAMPLE, LOCAL = ROOT / ".env.example", ROOT / ".env.local"
COMPOSE_FILES = ("compose.yml", "compose.dev.yml")

SERVICES = {
    "web": ["backend"],
    "worker": ["celery-worker", "celery-worker-billing"],
    "beat": ["celery-beat"],
}
LEFT_AT_THEIR_DEFAULT = {
    "GUNICORN_BIND": "nginx.conf and healthcheck.sh name its port",
}
DEVELOPMENT_ALONE = {"DEBUGPY_PORT"}
# Money's lane is small and always of threads.
FIXED_IN_THE_LANE = {*PREFORK_ALONE, "CELERY_WORKER_POOL"}


@cache
def compose(name: str) -> dict[str, Any]:
    return load_compose(ROOT / name)


def passed(service: str) -> set[str]:
    return set(compose("compose.yml")["services"][service].get("environment", {}))


def fill_in_by_its_comments(text: str) -> str:
    """What an operator would do: for each empty line, what the comment above it says."""
    lines: list[str] = []
    comment = ""
    for line in text.splitlines():
        if line.startswith("#"):
            comment = line
        elif line.endswith("="):
            if made := re.search(r"Make one: (openssl .+)$", comment):
                command = made[1].split()
                line += subprocess.run(command, capture_output=True, text=True, check=True).stdout
            elif example := re.search(r"For example: (\S+)$", comment):
                line += example[1]
        if not line.startswith("#"):
            comment = ""
        lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    file = tmp_path / ".env"
    file.write_text(fill_in_by_its_comments(EXAMPLE.read_text()))
    return file


def test_the_local_file_is_ready() -> None:
    done = run_python("-m", "config.contract", "check-file", str(LOCAL), environment={})
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_is_refused_for_what_is_empty_and_nothing_else() -> None:
    done = run_python("-m", "config.contract", "check-file", str(EXAMPLE), environment={})
    empty = {name for name, text in contract.parse_file(EXAMPLE).items() if not text}
    named = re.findall(r"^  (\w+): got nothing", done.stderr, re.MULTILINE)
    assert done.returncode == 78
    assert set(named) == {name for name in empty if BY_NAME[name].required} != set()
    assert len(done.stderr.splitlines()) == 1 + len(named)


def test_the_example_filled_in_by_its_own_comments_is_production(filled: Path) -> None:
    assert run_python("-m", "config.contract", "check-file", str(filled)).returncode == 0
    environment = contract.parse_file(filled)
    for role in contract.ROLES:
        contract.check(environment, role, every=True)
    program = "import config.settings.production as s; print(s.DEBUG, s.PUBLIC_URL)"
    done = run_python("-c", program, environment=environment)
    assert (done.stdout, done.stderr) == ("False https://eatfit24.example\n", "")
    values = list(environment.values())
    made = [text for text in values if re.fullmatch(r"[0-9a-f]{64}", text)]
    assert len(set(made)) == len(made) == 3


def test_the_local_files_secrets_are_refused_in_production() -> None:
    environment = contract.parse_file(LOCAL) | {"DJANGO_SETTINGS_MODULE": contract.PRODUCTION}
    with pytest.raises(contract.ContractError) as caught:
        contract.check(environment, "web")
    secrets = {name for name in environment if BY_NAME[name].secret}
    assert {problem.name for problem in caught.value.problems} >= {"DEBUG", *secrets}


@pytest.mark.parametrize(("file", "broker", "results"), [(LOCAL, "0", "1"), (EXAMPLE, "1", "2")])
def test_redis_databases(file: Path, broker: str, results: str) -> None:
    values = contract.parse_file(file)
    assert values["CELERY_BROKER_URL"] == f"redis://redis:6379/{broker}"
    assert values["CELERY_RESULT_BACKEND"] == f"redis://redis:6379/{results}"


@pytest.mark.parametrize("file", [LOCAL, EXAMPLE], ids=lambda file: file.name)
def test_every_variable_of_a_file_is_in_the_contract(file: Path) -> None:
    assert set(contract.parse_file(file)) <= set(BY_NAME)


def test_there_are_no_other_environment_files() -> None:
    found = {path.name for path in ROOT.glob(".env*")} | {path.name for path in ROOT.glob("*.env")}
    assert found - {".env"} == {".env.example", ".env.local"}


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_every_variable_that_compose_reads_is_in_the_contract(name: str) -> None:
    read = set(re.findall(r"\$\{?([A-Za-z_]\w*)", (ROOT / name).read_text()))
    assert read
    assert read <= set(BY_NAME)


def test_compose_asks_for_what_is_required_and_repeats_no_other_default() -> None:
    for name in COMPOSE_FILES:
        text = (ROOT / name).read_text()
        for variable, default in re.findall(r"\$\{(\w+):-([^$}]+)\}", text):
            assert default == BY_NAME[variable].default, variable
        asked = set(re.findall(r"\$\{(\w+):\?", text))
        assert all(BY_NAME[variable].required for variable in asked)
        optional = set(re.findall(r"\$\{(\w+):-", text))
        assert not {variable for variable in optional if BY_NAME[variable].required}


@pytest.mark.parametrize(
    ("role", "service"), [(role, name) for role, names in SERVICES.items() for name in names]
)
def test_a_service_gets_what_its_role_reads_and_no_other_secret(role: str, service: str) -> None:
    read = {variable.name for variable in VARIABLES if role in variable.roles}
    left = set(LEFT_AT_THEIR_DEFAULT) & read
    if service == "celery-worker-billing":
        left |= FIXED_IN_THE_LANE
    assert read - passed(service) - DEVELOPMENT_ALONE == left
    assert passed(service) <= read


def test_every_service_that_runs_our_image_has_a_role() -> None:
    services = compose("compose.yml")["services"]
    ours = {name for name, service in services.items() if "backend" in service["image"]}
    assert ours == {name for names in SERVICES.values() for name in names}


def test_other_services_get_no_secret_but_the_databases_own() -> None:
    secrets = {variable.name for variable in VARIABLES if variable.secret}
    got = {name: passed(name) & secrets for name in ("db", "redis", "frontend")}
    assert got == {"db": {"POSTGRES_PASSWORD"}, "redis": set(), "frontend": set()}


def test_composes_own_variables_are_read_by_compose_alone() -> None:
    own = {variable.name for variable in VARIABLES if not variable.roles}
    texts = "".join((ROOT / name).read_text() for name in COMPOSE_FILES)
    read = set(re.findall(r"\$\{(\w+)", texts))
    assert own <= read
    ours = [name for names in SERVICES.values() for name in names]
    assert not own & {name for service in ours for name in passed(service)}


def test_development_overrides_take_what_the_contract_takes() -> None:
    for service in compose("compose.dev.yml")["services"].values():
        for name, text in service.get("environment", {}).items():
            BY_NAME[name].parse(text)


def test_fixed_values_are_what_the_contract_takes() -> None:
    for name in [name for names in SERVICES.values() for name in names]:
        for variable, text in compose("compose.yml")["services"][name]["environment"].items():
            if "$" not in text:
                BY_NAME[variable].parse(text)


def test_the_document_holds_the_contracts_table() -> None:
    table = run_python("-m", "config.contract", "table", environment={}).stdout
    assert table.count("\n") == len(VARIABLES) + 2
    document = (ROOT / "docs/CONFIGURATION.md").read_text()
    assert document[document.index("| variable") :] == table, (
        "bring it up to date: see its second line"
    )


def test_without_python_and_without_the_image_it_says_so(tmp_path: Path) -> None:
    for program in ("bash", "dirname", "realpath", "sed", "tail"):
        (tmp_path / program).symlink_to(shutil.which(program) or pytest.fail(program))
    done = subprocess.run(
        [tmp_path / "bash", ROOT / "scripts/check-env.sh", LOCAL],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 69
    (line,) = done.stderr.splitlines()
    assert "Python 3.11 or newer is missing" in line
    assert "eatfit24-dev-backend:dev" in line
