"""Wrong configuration is refused in one message that names everything wrong, and no secret."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import contract, kinds
from config.contract import BY_NAME, VARIABLES, ContractError
from tests.config.environments import SOUND, run_python

FLAGS = [variable.name for variable in VARIABLES if variable.parse is kinds.flag]
REQUIRED = [variable.name for variable in VARIABLES if variable.required]
SECRETS = [variable.name for variable in VARIABLES if variable.secret]
LOCAL = {**SOUND, "DJANGO_SETTINGS_MODULE": "config.settings.local"}


def refused(environ: dict[str, str], role: str = "web") -> dict[str, str]:
    """What is refused: the lines of the one message, by variable."""
    with pytest.raises(ContractError) as caught:
        contract.check(environ, role)
    header, *lines = str(caught.value).splitlines()
    assert header == "The environment is wrong:"
    return dict(line.strip().split(": ", 1) for line in lines)


def test_flags_are_found() -> None:
    assert {"DEBUG", "RUN_MIGRATIONS", "MIGRATIONS_STRICT", "RUN_COLLECTSTATIC"} < set(FLAGS)


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize(
    ("given", "means"), [("0", False), ("1", True), ("", None), (None, None)], ids=repr
)
def test_a_flag_is_0_or_1_and_empty_is_unset(
    name: str, given: str | None, means: bool | None
) -> None:
    environ = LOCAL if given is None else {**LOCAL, name: given}
    by_default = contract.BY_NAME[name].default == "1"
    assert contract.load(environ, "web").flag(name) is (by_default if means is None else means)


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("text", ["true", "True", "yes", "on", "no", "2", "01", " 1", "1 ", '""'])
def test_a_flag_is_nothing_else(name: str, text: str) -> None:
    assert refused({**LOCAL, name: text}) == {name: f"got {text!r}; takes 0 or 1"}


@given(name=st.sampled_from(FLAGS), text=st.text().filter(lambda text: text not in ("", "0", "1")))
def test_no_other_text_is_a_flag_and_no_secret_is_told(name: str, text: str) -> None:
    with pytest.raises(ContractError) as caught:
        contract.check({**SOUND, name: text}, "web")
    assert [problem.name for problem in caught.value.problems] == [name]
    assert not [name for name in SECRETS if name in SOUND and SOUND[name] in str(caught.value)]


# Each of two variables that go together is there for the other.
SHOP = {"YOOKASSA_SHOP_ID": "123456", "YOOKASSA_SECRET_KEY": "live_sound-key"}


# No text at all is another matter: the other of a pair then stands alone.
@given(name=st.sampled_from([variable.name for variable in VARIABLES]), text=st.text(min_size=1))
def test_no_text_is_more_than_refused(name: str, text: str) -> None:
    found = set()
    try:
        contract.check({**SOUND, **SHOP, name: text}, "web")
    except ContractError as error:
        found = {problem.name for problem in error.problems}
    # Left empty, one of two that go together is told by the name of the other.
    assert found <= (set(SHOP) if name in SHOP else {name})


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("GUNICORN_WORKERS", ["1", "64"], ["0", "65", "-1", "1.5", "1e1", "02", " 2", "two", "²"]),
        ("WEB_CONCURRENCY", ["1", "64"], ["0", "65"]),
        ("GUNICORN_THREADS", ["1", "32"], ["0", "33"]),
        ("CELERY_WORKER_CONCURRENCY", ["1", "64"], ["0", "65"]),
        ("POSTGRES_POOL_SIZE", ["1", "100"], ["0", "101"]),
        ("POSTGRES_PORT", ["1", "65535"], ["0", "65536"]),
        ("STARTUP_WAIT_SECONDS", ["1", "3600"], ["0", "3601", "9" * 5000]),
    ],
)
def test_whole_numbers_have_a_range(name: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        assert contract.load({**SOUND, name: text}, "web").integer(name) == int(text)
    for text in bad:
        (problem,) = refused({**SOUND, name: text}).values()
        assert problem == f"got {text!r}; takes a whole number from {good[0]} to {good[1]}"


@pytest.mark.parametrize(
    ("name", "text", "takes"),
    [
        ("DJANGO_SETTINGS_MODULE", "config.settings.prod", "takes one of config.settings.prod"),
        ("ALLOWED_HOSTS", "a.example, b.example", "without spaces"),
        ("ALLOWED_HOSTS", "a.example,", "without spaces"),
        ("PUBLIC_URL", "eatfit24.example", "takes an address such as https://"),
        ("PUBLIC_URL", "https://eatfit24.example/", "without a path"),
        ("PUBLIC_URL", "https://[eatfit24.example", "takes an address such as https://"),
        ("PUBLIC_URL", "https://eatfit24.example:port", "takes an address such as https://"),
        ("CELERY_BROKER_URL", "redis://redis:6379", "with a database number"),
        ("CELERY_BROKER_URL", "redis://redis:6379/one", "with a database number"),
        ("CELERY_RESULT_BACKEND", "amqp://redis/1", "takes an address such as redis://"),
        ("CELERY_WORKER_POOL", "gevent", "takes one of threads, prefork"),
        ("POSTGRES_DB", "EatFit24", "lower-case letters"),
        ("POSTGRES_HOST", '"db"', "without quotes around it"),
        ("RUNTIME_DIR", "tmp", "takes an absolute path"),
        ("GUNICORN_BIND", "8000", "takes an address and a port"),
        ("LOG_LEVEL", "info", "takes one of DEBUG, INFO"),
        ("RELEASE", "v1 beta", "takes a commit or a version"),
        ("YOOKASSA_SHOP_ID", "shop", "takes the digits"),
        ("YOOKASSA_API_URL", "https://", "takes an address such as https://api.example/v3"),
        ("YOOKASSA_API_URL", "https://api.example/v3?a=b", "without a query"),
    ],
)
def test_says_what_it_got_and_what_it_takes(name: str, text: str, takes: str) -> None:
    (problem,) = refused({**SOUND, name: text}).values()
    assert problem.startswith(f"got {text!r}; ")
    assert takes in problem


def test_everything_wrong_is_in_one_message() -> None:
    wrong = {"DEBUG": "1", "SECRET_KEY": "short", "GUNICORN_THREADS": "0", "ALLOWED_HOSTS": ""}
    problems = refused({**SOUND, **wrong, "POSTGRES_PASWORD": "x"})
    assert set(problems) == {*wrong, "POSTGRES_PASWORD"}


@pytest.mark.parametrize("name", SECRETS)
def test_a_wrong_secret_is_not_told(name: str) -> None:
    value = " not-to-be-told"
    assert value.strip() not in str(refused({**SOUND, name: value}))
    assert "15 characters" in str(refused({**SOUND, name: value}))


def test_a_password_in_an_address_is_not_told() -> None:
    assert "s3cret" not in str(refused({**SOUND, "CELERY_BROKER_URL": "redis://:s3cret@redis"}))


@pytest.mark.parametrize("content", ["from-a-file", "from-a-file\n"])
def test_a_value_may_come_from_a_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "password"
    file.write_text(content)
    environ = {**SOUND, "POSTGRES_PASSWORD": "", "POSTGRES_PASSWORD_FILE": str(file)}
    assert contract.load(environ, "web").string("POSTGRES_PASSWORD") == "from-a-file"


def test_files_that_cannot_be_taken_are_named(tmp_path: Path) -> None:
    binary, blank = tmp_path / "binary", tmp_path / "blank"
    binary.write_bytes(b"\xff")
    blank.write_text("secret \n")
    environ = SOUND | dict.fromkeys(("SECRET_KEY", "POSTGRES_PASSWORD", "TELEGRAM_BOT_TOKEN"), "")
    files = {
        "SECRET_KEY_FILE": "/nowhere/key",
        "POSTGRES_PASSWORD_FILE": str(binary),
        "TELEGRAM_BOT_TOKEN_FILE": "12:the-token-itself",
        "SECRET_KEY_FALLBACKS_FILE": str(blank),
    }
    problems = refused(environ | files)
    assert "'/nowhere/key' (No such file or directory)" in problems["SECRET_KEY_FILE"]
    assert "(not UTF-8)" in problems["POSTGRES_PASSWORD_FILE"]
    assert "the-token-itself" not in problems["TELEGRAM_BOT_TOKEN_FILE"]
    assert "7 characters (not shown)" in problems["SECRET_KEY_FALLBACKS"]
    assert len(problems) == len(files)


def test_a_variable_and_its_file_are_not_both_given(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(SOUND["SECRET_KEY"])
    problems = refused({**SOUND, "SECRET_KEY_FILE": str(file)})
    assert problems == {"SECRET_KEY": "got both SECRET_KEY and SECRET_KEY_FILE; takes one of them"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RUN_MIGRATION", "RUN_MIGRATIONS"),
        ("POSTGRES_PASWORD", "POSTGRES_PASSWORD"),
        ("CELERY_RESULTS_BACKEND", "CELERY_RESULT_BACKEND"),
        ("SECRET_KEY_FILES", "SECRET_KEY_FILE"),
    ],
)
def test_a_misspelt_variable_is_named(name: str, meant: str) -> None:
    problems = refused({**SOUND, name: "1"})
    assert problems == {name: f"got an unknown variable; did you mean {meant}?"}


def test_what_others_read_is_none_of_our_business() -> None:
    others = {"PATH": "/bin", "REDIS_PORT": "tcp://x", "PYTHONPATH": "/", "WEB_SERVER_NAME": "x"}
    contract.check({**SOUND, **others}, "web")


@pytest.mark.parametrize("role", contract.ROLES)
def test_a_role_starts_with_what_it_reads_and_not_without(role: str) -> None:
    read = {name for name in REQUIRED if role in contract.BY_NAME[name].roles}
    contract.check({name: text for name, text in SOUND.items() if name in read}, role)
    for name in read:
        assert set(refused({**SOUND, name: ""}, role)) == {name}


def test_who_needs_the_bots_token() -> None:
    roles = contract.BY_NAME["TELEGRAM_BOT_TOKEN"].roles
    assert set(roles) == {"web", "worker"}


KEY = SOUND["SECRET_KEY"]
UNSAFE = [
    ("DEBUG", "1", "takes 0 in production"),
    ("DEBUGPY_PORT", "5678", "is unset in production"),
    ("ALLOWED_HOSTS", "*", "no wildcard"),
    ("ALLOWED_HOSTS", "eatfit24.example,*.example", "no wildcard"),
    ("SECRET_KEY", KEY[:49], "at least 50"),
    ("SECRET_KEY", "django-insecure-" + KEY, "a placeholder"),
    ("SECRET_KEY", "change-me-" + KEY, "a placeholder"),
    ("SECRET_KEY_FALLBACKS", f"{KEY},{KEY[:49]}", "at least 50"),
    ("SECRET_KEY_FALLBACKS", f"{KEY},placeholder-{KEY}", "a placeholder"),
    ("POSTGRES_PASSWORD", "changeme", "a placeholder"),
    ("POSTGRES_PASSWORD", "<password>", "a placeholder"),
    ("POSTGRES_PASSWORD", "xxxx", "a placeholder"),
    ("YOOKASSA_API_URL", "http://api.example/v3", "https in production"),
]


@pytest.mark.parametrize("role", ["web", "worker"])
def test_a_shop_has_both_its_id_and_its_key(role: str) -> None:
    shop = {"YOOKASSA_SHOP_ID": "100500", "YOOKASSA_SECRET_KEY": "live_sound-key"}
    contract.check({**SOUND, **shop}, role)
    for name, other in (tuple(shop), tuple(shop)[::-1]):
        assert refused({**SOUND, name: shop[name]}, role) == {
            name: f"got a value; takes {other} beside it"
        }


@pytest.mark.parametrize(("name", "text", "says"), UNSAFE)
def test_what_is_unsafe_is_refused_in_production_alone(name: str, text: str, says: str) -> None:
    contract.check({**LOCAL, name: text}, "web")
    problems = refused({**SOUND, name: text})
    assert set(problems) == {name}
    assert says in problems[name]


def env_file(path: Path, text: str) -> Path:
    file = path / ".env"
    file.write_text(text)
    return file


def test_a_file_is_read_as_compose_reads_it(tmp_path: Path) -> None:
    lines = {
        "A=plain": "plain",
        "  B=indented  # said why": "indented",
        "C='sing#le $x' # said why": "sing#le $x",
        'D="double # x"': "double # x",
        "E=a#b": "a#b",
        "F=": "",
        "G=  # nothing": "",
        "export H=a=b": "a=b",
    }
    file = env_file(tmp_path, "# said\n\n" + "\n".join(lines))
    assert list(contract.parse_file(file).values()) == list(lines.values())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("SECRET_KEY", "line 2: got no assignment"),
        ("SECRET-KEY=x", "line 2: got no assignment"),
        ("A=two", "A: got a second value"),
        ("B=pa$word", "B: got a value with $"),
        ('B="pa$word"', "B: got a value with $"),
    ],
)
def test_a_line_that_compose_would_read_otherwise_is_refused(
    tmp_path: Path, line: str, says: str
) -> None:
    with pytest.raises(ContractError, match=r"^The environment is wrong") as caught:
        contract.parse_file(env_file(tmp_path, f"A=one\n{line}\n"))
    assert says in str(caught.value)
    assert "pa$word" not in str(caught.value)


def test_exit_codes_and_streams(tmp_path: Path) -> None:
    good = env_file(tmp_path, "".join(f"{name}={text}\n" for name, text in SOUND.items()))
    bad = tmp_path / "bad"
    bad.write_text(good.read_text() + "DEBUG=yes\nNOBODYS=1\n")
    for arguments, code, said in [
        (["check", "web"], 0, ""),
        (["check-file", str(good)], 0, ""),
        (["check-file", str(bad)], 78, "NOBODYS: got an unknown variable; nobody reads it"),
        (["check-file", str(tmp_path / "none")], 66, "No such file"),
        (["check", "cook"], 64, "config.contract check ROLE"),
        ([], 64, "config.contract check ROLE"),
    ]:
        done = run_python("-m", "config.contract", *arguments)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert said in done.stderr
        assert bool(said) == bool(done.stderr)
        assert "Traceback" not in done.stderr
    done = run_python(
        "-m", "config.contract", "check", "web", environment={**SOUND, "DEBUG": "yes"}
    )
    assert (done.returncode, done.stderr) == (
        78,
        "The environment is wrong:\n  DEBUG: got 'yes'; takes 0 or 1\n",
    )


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"CELERY_WORKER_AUTOSCALER": "1"}, {"CELERY_WORKER_AUTOSCALER"}),
        ({"CELERY_WORKER_AUTOSCALER": "0"}, set()),
        ({"CELERY_TASK_TIME_LIMIT": "60"}, {"CELERY_TASK_TIME_LIMIT"}),
        (
            {"CELERY_WORKER_MAX_MEMORY_MB": "200", "CELERY_WORKER_MAX_TASKS": "100"},
            {"CELERY_WORKER_MAX_MEMORY_MB", "CELERY_WORKER_MAX_TASKS"},
        ),
    ],
)
def test_what_threads_would_ignore_is_refused(values: dict[str, str], named: set[str]) -> None:
    assert set(refused({**SOUND, **values}, "worker") if named else {}) == named
    prefork = {**SOUND, "CELERY_TASK_TIME_LIMIT": "60", **values, "CELERY_WORKER_POOL": "prefork"}
    bounds = {"CELERY_WORKER_AUTOSCALER_MIN": "1", "CELERY_WORKER_AUTOSCALER_MAX": "4"}
    autoscaled = values.get("CELERY_WORKER_AUTOSCALER") == "1"
    contract.check(prefork | (bounds if autoscaled else {}), "worker")


@pytest.mark.parametrize(
    "wrong", [{"CELERY_TASK_TIME_LIMIT": "3"}, {"CELERY_WORKER_POOL": "gevent"}], ids=str
)
def test_what_is_wrong_is_said_once(wrong: dict[str, str]) -> None:
    prefork = {"CELERY_WORKER_POOL": "prefork", "CELERY_TASK_TIME_LIMIT": "60"}
    with pytest.raises(ContractError) as caught:
        contract.check({**SOUND, **prefork, **wrong}, "worker")
    assert [problem.name for problem in caught.value.problems] == list(wrong)


@pytest.mark.parametrize(
    ("flag", "bounds", "named"),
    [
        ("1", {}, {"MIN", "MAX"}),
        ("1", {"MIN": "2"}, {"MAX"}),
        ("1", {"MIN": "5", "MAX": "4"}, {"MIN"}),
        ("0", {"MIN": "1", "MAX": "4"}, {"MIN", "MAX"}),
    ],
)
def test_autoscaling_takes_both_bounds_in_order(
    flag: str, bounds: dict[str, str], named: set[str]
) -> None:
    prefix = "CELERY_WORKER_AUTOSCALER"
    values = {f"{prefix}_{bound}": text for bound, text in bounds.items()}
    prefork = {"CELERY_WORKER_POOL": "prefork", "CELERY_TASK_TIME_LIMIT": "60"}
    environment = {**SOUND, **prefork, prefix: flag, **values}
    assert set(refused(environment, "worker")) == {f"{prefix}_{bound}" for bound in named}


WAYS = {
    "OPENROUTER_API_KEY": "sk-or-sound",
    "AI_PROXY_URL": "http://proxy:8000/v1",
    "AI_PROXY_SECRET": "between-us",
}


@pytest.mark.parametrize(
    ("provider", "given", "missing"),
    [
        ("local", [], []),
        ("openrouter", ["OPENROUTER_API_KEY"], []),
        ("openrouter", ["AI_PROXY_URL", "AI_PROXY_SECRET"], []),
        ("openrouter", [*WAYS], []),
        ("openrouter", [], ["OPENROUTER_API_KEY"]),
        ("openrouter", ["AI_PROXY_URL"], ["AI_PROXY_SECRET"]),
        ("openrouter", ["AI_PROXY_SECRET"], ["AI_PROXY_URL"]),
        ("local", ["AI_PROXY_URL"], ["AI_PROXY_SECRET"]),
    ],
)
def test_a_worker_has_a_way_to_its_provider(
    provider: str, given: list[str], missing: list[str]
) -> None:
    environ = {**SOUND, "AI_PROVIDER": provider} | {name: WAYS[name] for name in given}
    contract.check(environ, "web", "beat")
    if not missing:
        contract.check(environ, "worker")
        return
    assert set(refused(environ, "worker")) == {*missing}


@pytest.mark.parametrize("good", ["127.0.0.1", "[::1]"])
@pytest.mark.parametrize("bad", ["::1", "[127.0.0.1]", "localhost", "127.0.0.1:3000"])
def test_an_address_is_as_compose_takes_it(good: str, bad: str) -> None:
    parse = BY_NAME["PUBLIC_ADDRESS"].parse
    assert parse(good) == good
    with pytest.raises(ValueError, match="such as"):
        parse(bad)
