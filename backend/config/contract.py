"""The contract of the environment: every variable that any part of the system reads.

One table, standard library only, so that the entrypoint can run it before anything
else is imported. The entrypoint validates by it, settings and gunicorn_config.py read
through it, and tests hold the .env files, the Compose files and the documents to it.

    python contract.py check ROLE        validate this process's environment, exit 78 if wrong
    python contract.py check-file FILE   validate a .env file, exit 78 if wrong
    python contract.py table             print the table as Markdown
"""

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

EX_CONFIG = 78
"""sysexits.h: configuration error. A supervisor can tell it from a crash."""

ROLES = ("web", "worker", "beat", "manage")
PRODUCTION = "config.settings.production"
PLACEHOLDERS = re.compile(
    r"change-?me|placeholder|django-insecure|^your-|^<.*>$|^x+$", re.IGNORECASE
)
SECRET_LENGTH = 50  # as Django's own deployment check

Value = bool | int | float | str | tuple[str, ...]


class Invalid(ValueError):
    """What a variable takes, said to the person who set it."""


def flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise Invalid("takes 0 or 1")
    return text == "1"


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?(0|[1-9][0-9]{0,11})", text) or not low <= int(text) <= high:
            raise Invalid(f"takes a whole number from {low} to {high}")
        return int(text)

    return parse


def string(
    pattern: str = r"\S(.*\S)?", takes: str = "takes a text without spaces around it"
) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise Invalid(takes)
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            raise Invalid("takes the value without quotes around it")
        return text

    return parse


def choice(*options: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in options:
            raise Invalid(f"takes one of {', '.join(options)}")
        return text

    return parse


def names(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if any(not re.fullmatch(r"\S+", part) for part in parts):
        raise Invalid("takes names separated by commas, without spaces")
    return parts


def url(pattern: str, takes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            sound = bool(parts.hostname) and parts.port != 0  # both may raise as well
        except ValueError:
            sound = False
        if not sound or not re.fullmatch(pattern, text):
            raise Invalid(takes)
        return text

    return parse


http_origin = url(
    r"https?://[^\s/?#@\\]+", "takes an address such as https://eatfit24.example, without a path"
)
redis_url = url(
    r"rediss?://[^\s/?#]+/[0-9]{1,5}(\?\S+)?",
    "takes an address such as redis://redis:6379/1, with a database number",
)
PORT = integer(1, 65535)
DATABASE_NAME = string(r"[a-z_][a-z0-9_]{0,62}", "takes a name of lower-case letters, digits and _")


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A line of the contract. `roles` are those that read it; none: only Compose does."""

    name: str
    parse: Callable[[str], Value]
    meaning: str
    default: str = ""
    required: bool = False
    secret: bool = False
    roles: tuple[str, ...] = ROLES


COMPOSE: tuple[str, ...] = ()
WEB = ("web",)
WORKER = ("worker",)

VARIABLES = (
    Variable(
        name="COMPOSE_PROJECT_NAME",
        parse=string(r"[a-z0-9][a-z0-9_-]*", "takes lower-case letters, digits, - and _"),
        default="eatfit24",
        roles=COMPOSE,
        meaning="Prefix of containers, networks and volumes.",
    ),
    Variable(
        name="PUBLIC_PORT",
        parse=PORT,
        default="3000",
        roles=COMPOSE,
        meaning="Port of the frontend for people, on every address.",
    ),
    Variable(
        name="CHECK_PORT",
        parse=PORT,
        default="8000",
        roles=COMPOSE,
        meaning="Port of the frontend for checks, on loopback alone.",
    ),
    Variable(
        name="DEV_DATABASE_PORT",
        parse=PORT,
        default="5432",
        roles=COMPOSE,
        meaning="compose.dev.yml: port of PostgreSQL on loopback.",
    ),
    Variable(
        name="DEV_DEBUGGER_PORT",
        parse=PORT,
        default="5678",
        roles=COMPOSE,
        meaning="compose.dev.yml: port of the debugger on loopback.",
    ),
    Variable(
        name="RELEASE",
        parse=string(r"[A-Za-z0-9._-]{1,64}", "takes a commit or a version, or dev"),
        default="dev",
        meaning="The release that runs: a tag of the image. Rewritten by deploys alone.",
    ),
    Variable(
        name="DJANGO_SETTINGS_MODULE",
        parse=choice(PRODUCTION, "config.settings.local", "config.settings.test"),
        required=True,
        meaning="Which settings to run under.",
    ),
    Variable(
        name="SECRET_KEY",
        parse=string(),
        required=True,
        secret=True,
        meaning="Signs tokens and sessions.",
    ),
    Variable(
        name="SECRET_KEY_FALLBACKS",
        parse=names,
        secret=True,
        meaning="Earlier keys that are still believed, separated by commas.",
    ),
    Variable(
        name="DEBUG",
        parse=flag,
        default="0",
        meaning="Django's debug pages. Refused in production.",
    ),
    Variable(
        name="ALLOWED_HOSTS",
        parse=names,
        required=True,
        meaning="Host names that are served, separated by commas.",
    ),
    Variable(
        name="PUBLIC_URL",
        parse=http_origin,
        required=True,
        meaning="Where people reach the service.",
    ),
    Variable(
        name="LOG_LEVEL",
        parse=choice("DEBUG", "INFO", "WARNING", "ERROR"),
        default="INFO",
        meaning="The least important event that is logged.",
    ),
    Variable(
        name="RUNTIME_DIR",
        parse=string(r"/\S*", "takes an absolute path"),
        default="/tmp",
        meaning="Writable directory in memory for heartbeats and process ids, one a process.",
    ),
    Variable(
        name="POSTGRES_HOST",
        parse=string(),
        default="db",
        meaning="Host of PostgreSQL, or the directory of its socket.",
    ),
    Variable(name="POSTGRES_PORT", parse=PORT, default="5432", meaning="Port of PostgreSQL."),
    Variable(
        name="POSTGRES_DB", parse=DATABASE_NAME, default="eatfit24", meaning="Name of the database."
    ),
    Variable(
        name="POSTGRES_USER",
        parse=DATABASE_NAME,
        default="eatfit24_a",
        meaning="Login role of the application; owns nothing.",
    ),
    Variable(
        name="POSTGRES_PASSWORD",
        parse=string(),
        required=True,
        secret=True,
        meaning="Password of the login role.",
    ),
    Variable(
        name="POSTGRES_OWNER",
        parse=DATABASE_NAME,
        default="eatfit24_owner",
        meaning="Role that owns the tables; migrations run as it; it cannot log in.",
    ),
    Variable(
        name="POSTGRES_POOL_SIZE",
        parse=integer(1, 100),
        default="8",
        meaning="Most database connections of one process.",
    ),
    Variable(
        name="STARTUP_WAIT_SECONDS",
        parse=integer(1, 3600),
        default="120",
        meaning="How long a start waits for the database and its schema before it gives up.",
    ),
    Variable(
        name="RUN_MIGRATIONS",
        parse=flag,
        default="0",
        roles=WEB,
        meaning="Apply committed migrations and load the food table before the start.",
    ),
    Variable(
        name="MIGRATIONS_STRICT",
        parse=flag,
        default="1",
        roles=WEB,
        meaning="A failed migration stops the start (1) or is logged (0).",
    ),
    Variable(
        name="RUN_COLLECTSTATIC",
        parse=flag,
        default="0",
        roles=WEB,
        meaning="Collect static files again at the start, into RUNTIME_DIR.",
    ),
    Variable(
        name="CELERY_BROKER_URL",
        parse=redis_url,
        required=True,
        meaning="Redis database of the queues.",
    ),
    Variable(
        name="CELERY_RESULT_BACKEND",
        parse=redis_url,
        required=True,
        meaning="Redis database of results that were asked for.",
    ),
    Variable(
        name="CELERY_WORKER_POOL",
        parse=choice("threads", "prefork"),
        default="threads",
        roles=WORKER,
        meaning="How a worker runs its jobs.",
    ),
    Variable(
        name="CELERY_WORKER_CONCURRENCY",
        parse=integer(1, 64),
        default="16",
        roles=WORKER,
        meaning="Jobs that a worker runs at once.",
    ),
    Variable(
        name="WEB_CONCURRENCY",
        parse=integer(1, 64),
        roles=WEB,
        meaning="Gunicorn workers; at most 4 are started.",
    ),
    Variable(
        name="GUNICORN_WORKERS",
        parse=integer(1, 64),
        default="2",
        roles=WEB,
        meaning="Gunicorn workers where WEB_CONCURRENCY is unset; at most 4 are started.",
    ),
    Variable(
        name="GUNICORN_THREADS",
        parse=integer(1, 32),
        default="4",
        roles=WEB,
        meaning="Requests that one Gunicorn worker serves at once.",
    ),
    Variable(
        name="GUNICORN_BIND",
        parse=string(r"\S+:\d{1,5}", "takes an address and a port such as 0.0.0.0:8000"),
        default="0.0.0.0:8000",
        roles=WEB,
        meaning="Where Gunicorn listens.",
    ),
    Variable(
        name="DEBUGPY_PORT",
        parse=PORT,
        roles=WEB,
        meaning="Development: where a debugger may attach. Refused in production.",
    ),
    Variable(
        name="TELEGRAM_BOT_TOKEN",
        parse=string(r"\d+:[A-Za-z0-9_-]+", "takes a token as BotFather gives it: 123456:ABC-def"),
        required=True,
        secret=True,
        roles=("web", "manage"),
        meaning="The bot's token; it proves who logs in.",
    ),
    Variable(
        name="AI_PROVIDER",
        parse=choice("local"),
        default="local",
        meaning="Who recognises meals. local: text alone, against the food table.",
    ),
)

BY_NAME = {variable.name: variable for variable in VARIABLES}
PREFIXES = tuple(sorted({name.split("_")[0] + "_" for name in BY_NAME if "_" in name}))


@dataclass(frozen=True)
class Problem:
    name: str
    got: str
    takes: str

    def __str__(self) -> str:
        return f"{self.name}: got {self.got}; {self.takes}"


class ContractError(Exception):
    """Every wrong variable at once, each with what it got and what it takes."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "\n".join(["The environment is wrong:", *(f"  {p}" for p in self.problems)])
        )


class Environment:
    """The typed environment. A variable without value and default reads as None."""

    def __init__(self, values: Mapping[str, Value | None]) -> None:
        self._values = values

    def flag(self, name: str) -> bool:
        return bool(self._values[name])

    def integer(self, name: str) -> int:
        value = self._values[name]
        assert isinstance(value, int)
        return value

    def string(self, name: str) -> str:
        value = self._values[name]
        assert isinstance(value, str)
        return value

    def strings(self, name: str) -> list[str]:
        value = self._values[name]
        assert value is None or isinstance(value, tuple)
        return list(value or ())

    def given(self, name: str) -> bool:
        return self._values[name] is not None


def load(environ: Mapping[str, str], role: str | None = None) -> Environment:
    """Read the environment of a process of this role; without one, what all roles need.

    Raises ContractError with every problem found.
    """
    values: dict[str, Value | None] = {}
    problems = list(_read(environ, role, values))
    if values["DJANGO_SETTINGS_MODULE"] == PRODUCTION:
        problems += _production_problems(values)
    if problems:
        raise ContractError(problems)
    return Environment(values)


def _read(
    environ: Mapping[str, str], role: str | None, values: dict[str, Value | None]
) -> Iterator[Problem]:
    for variable in VARIABLES:
        name, text = variable.name, environ.get(variable.name, "")
        values[name] = None
        path = environ.get(f"{name}_FILE", "")
        if path and text:
            yield Problem(name, f"both {name} and {name}_FILE", "takes one of them")
            continue
        if path:
            try:
                text = Path(path).read_text(encoding="utf-8").removesuffix("\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8"
                # Somebody may have put the secret itself where its file's name belongs.
                shown = repr(path) if path.startswith("/") else _shown(variable, path)
                yield Problem(f"{name}_FILE", f"{shown} ({reason})", "takes a readable file")
                continue
        text = text or variable.default
        if not text:
            if variable.required and (role in variable.roles or variable.roles == ROLES):
                yield Problem(name, "nothing", f"is required: {variable.meaning}")
            continue
        try:
            values[name] = variable.parse(text)
        except Invalid as error:
            yield Problem(name, _shown(variable, text), str(error))


def _shown(variable: Variable, text: str) -> str:
    hidden = variable.secret or "@" in text  # an address may carry a password
    return f"a value of {len(text)} characters (not shown)" if hidden else repr(text)


def _production_problems(values: Mapping[str, Value | None]) -> Iterator[Problem]:
    if values["DEBUG"]:
        yield Problem("DEBUG", "'1'", "takes 0 in production")
    if values["DEBUGPY_PORT"] is not None:
        yield Problem("DEBUGPY_PORT", repr(str(values["DEBUGPY_PORT"])), "is unset in production")
    hosts = values["ALLOWED_HOSTS"]
    if isinstance(hosts, tuple) and any("*" in host for host in hosts):
        yield Problem("ALLOWED_HOSTS", repr(",".join(hosts)), "takes no wildcard in production")
    for variable in VARIABLES:
        value = values[variable.name]
        if not variable.secret or value is None:
            continue
        for text in value if isinstance(value, tuple) else (str(value),):
            if PLACEHOLDERS.search(text):
                yield Problem(variable.name, "a placeholder", "takes a secret of its own")
            elif variable.name.startswith("SECRET_KEY") and len(text) < SECRET_LENGTH:
                yield Problem(
                    variable.name,
                    f"{len(text)} characters",
                    f"takes at least {SECRET_LENGTH} in production: openssl rand -hex 32",
                )


def misspelt(environ: Mapping[str, str], *, every: bool) -> Iterator[Problem]:
    """Variables that nobody reads: those near one of ours, or `every` one (in a file)."""
    known = {*BY_NAME, *(f"{name}_FILE" for name in BY_NAME)}
    for name in sorted(environ.keys() - known):
        if not every and not name.startswith(PREFIXES):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if near:
            yield Problem(name, "an unknown variable", f"did you mean {near[0]}?")
        elif every:
            yield Problem(name, "an unknown variable", "nobody reads it")


def parse_file(path: Path) -> dict[str, str]:
    """Read NAME=value lines as Compose does: comments, one pair of quotes.

    Raises ContractError for a line that is not an assignment or is given twice.
    """
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", line.strip())
        if not match:
            problems.append(Problem(f"line {number}", "no assignment", "takes NAME=value"))
            continue
        name, text = match.groups()
        if name in values:
            problems.append(Problem(name, "a second value", "takes one"))
        quoted = re.fullmatch(r"'([^']*)'(?:\s+#.*)?|\"([^\"]*)\"(?:\s+#.*)?", text)
        if quoted:
            text = next(group for group in quoted.groups() if group is not None)
        else:
            text = re.sub(r"(^|\s+)#.*", "", text)
        if "$" in text and not (quoted and quoted.group(1) is not None):
            problems.append(
                Problem(
                    name,
                    "a value with $",
                    "takes it in single quotes: Compose replaces $ elsewhere",
                )
            )
        values[name] = text
    if problems:
        raise ContractError(problems)
    return values


def check(environ: Mapping[str, str], *roles: str, every: bool = False) -> None:
    """Raise ContractError unless processes of these roles may start with this environment.

    `every`: a variable that nobody reads is a problem even where it resembles none of ours.
    """
    problems = list(misspelt(environ, every=every))
    for role in roles:
        try:
            load(environ, role)
        except ContractError as error:
            problems += error.problems
    if problems:
        raise ContractError(dict.fromkeys(problems))


def table() -> str:
    """The contract as a Markdown table."""
    rows = ["| variable | default | read by | meaning |", "| --- | --- | --- | --- |"]
    for v in VARIABLES:
        default = "**required**" if v.required else f"`{v.default}`" if v.default else "none"
        roles = "all" if v.roles == ROLES else ", ".join(v.roles) or "Compose"
        meaning = v.meaning + (" Secret." if v.secret else "")
        rows.append(f"| `{v.name}` | {default} | {roles} | {meaning} |")
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["check", role] if role in ROLES:
                check(os.environ, role)
            case ["check-file", path]:
                check(parse_file(Path(path)), *ROLES, every=True)
            case ["table"]:
                print(table())
            case _:
                print(__doc__, file=sys.stderr)
                return 64
    except ContractError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except (OSError, UnicodeDecodeError) as error:
        print(f"{arguments[-1]}: {error}", file=sys.stderr)
        return 66
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
