"""The contract of the environment, and who holds to it; its table is in variables.py.

Standard library only, so that the entrypoint can run it before anything else is imported.
Settings and gunicorn_config.py read through it; tests hold the .env files, the Compose files
and the documents to it.

    python -m config.contract check ROLE [COMMAND …]   validate what a process would start with
    python -m config.contract check-file FILE          validate a .env file
    python -m config.contract table                    print the table as Markdown

Exits with 78 where something is wrong.
"""

import difflib
import ipaddress
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from config.kinds import Invalid, Value
from config.variables import BY_NAME, PREFIXES, PRODUCTION, ROLES, SETTINGS, VARIABLES, Variable

EX_CONFIG = 78
"""sysexits.h: configuration error. A supervisor can tell it from a crash."""

PLACEHOLDERS = re.compile(
    r"change-?me|placeholder|django-insecure|development|^your-|^<.*>$|^x+$", re.IGNORECASE
)
SECRET_LENGTH = 50  # as Django's own deployment check


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

    def optional_integer(self, name: str) -> int | None:
        return self.integer(name) if self.given(name) else None

    def string(self, name: str) -> str:
        value = self._values[name]
        assert isinstance(value, str)
        return value

    def optional_string(self, name: str) -> str | None:
        return self.string(name) if self.given(name) else None

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
    wrong = {problem.name for problem in problems}
    problems += (problem for problem in _together(values, role) if problem.name not in wrong)
    if problems:
        raise ContractError(problems)
    return Environment(values)


def _together(values: Mapping[str, Value | None], role: str | None) -> Iterator[Problem]:
    """What is right by itself, but not beside the others."""
    yield from _shop_problems(values)
    yield from _storage_problems(values)
    if role in (None, "worker"):
        yield from _pool_problems(values)
    if role == "worker":
        yield from _provider_problems(values)
    if values["DJANGO_SETTINGS_MODULE"] == PRODUCTION:
        yield from _production_problems(values)


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


WIDEST = {4: 16, 6: 32}
"""The shortest prefix by which a provider's notifications are known, by version of IP."""


def _networks(value: Value | None) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(text) for text in value] if isinstance(value, tuple) else []


def _production_problems(values: Mapping[str, Value | None]) -> Iterator[Problem]:
    if values["DEBUG"]:
        yield Problem("DEBUG", "'1'", "takes 0 in production")
    if values["DEBUGPY_PORT"] is not None:
        yield Problem("DEBUGPY_PORT", repr(str(values["DEBUGPY_PORT"])), "is unset in production")
    address = values["YOOKASSA_API_URL"]
    if isinstance(address, str) and not address.startswith("https://"):
        takes = "takes https in production: the secret key travels with every call"
        yield Problem("YOOKASSA_API_URL", repr(address), takes)
    for network in _networks(values["YOOKASSA_NOTIFICATION_NETWORKS"]):
        if network.prefixlen < WIDEST[network.version]:
            takes = "takes the provider's networks in production, not half the world"
            yield Problem("YOOKASSA_NOTIFICATION_NETWORKS", repr(str(network)), takes)
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


PREFORK_ALONE = (
    "CELERY_WORKER_AUTOSCALER",
    "CELERY_WORKER_AUTOSCALER_MIN",
    "CELERY_WORKER_AUTOSCALER_MAX",
    "CELERY_TASK_TIME_LIMIT",
    "CELERY_WORKER_MAX_MEMORY_MB",
    "CELERY_WORKER_MAX_TASKS",
)


def _storage_problems(values: Mapping[str, Value | None]) -> Iterator[Problem]:
    if values["PHOTO_STORAGE"] != "s3":
        return
    for name in ("S3_ENDPOINT_URL", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY"):
        if values[name] is None:
            yield Problem(name, "nothing", "is required with PHOTO_STORAGE=s3")


def _pool_problems(values: Mapping[str, Value | None]) -> Iterator[Problem]:
    """What the chosen pool would silently ignore."""
    if values["CELERY_WORKER_POOL"] is None:
        return  # not one that can be chosen
    if values["CELERY_WORKER_POOL"] != "prefork":
        for name in PREFORK_ALONE:
            if values[name]:
                takes = "is ignored by threads: takes CELERY_WORKER_POOL=prefork"
                yield Problem(name, repr(str(int(values[name]))), takes)  # type: ignore[arg-type]
        return
    if values["CELERY_TASK_TIME_LIMIT"] is None:
        takes = "is required with prefork: nothing else ends a job that hangs"
        yield Problem("CELERY_TASK_TIME_LIMIT", "nothing", takes)
    fewest, most = (values[f"CELERY_WORKER_AUTOSCALER_{bound}"] for bound in ("MIN", "MAX"))
    for name, value in (("MIN", fewest), ("MAX", most)):
        if values["CELERY_WORKER_AUTOSCALER"] and value is None:
            takes = "is required with CELERY_WORKER_AUTOSCALER=1"
            yield Problem(f"CELERY_WORKER_AUTOSCALER_{name}", "nothing", takes)
        elif value is not None and not values["CELERY_WORKER_AUTOSCALER"]:
            takes = "is ignored without CELERY_WORKER_AUTOSCALER=1"
            yield Problem(f"CELERY_WORKER_AUTOSCALER_{name}", repr(str(value)), takes)
    if isinstance(fewest, int) and isinstance(most, int) and fewest > most:
        takes = f"takes at most CELERY_WORKER_AUTOSCALER_MAX, which is {most}"
        yield Problem("CELERY_WORKER_AUTOSCALER_MIN", repr(str(fewest)), takes)


def _shop_problems(values: Mapping[str, Value | None]) -> Iterator[Problem]:
    pair = ("YOOKASSA_SHOP_ID", "YOOKASSA_SECRET_KEY")
    for name, other in (pair, pair[::-1]):
        if values[name] is not None and values[other] is None:
            yield Problem(name, "a value", f"takes {other} beside it")


def _provider_problems(values: Mapping[str, Value | None]) -> Iterator[Problem]:
    """A provider that could not be asked."""
    url, secret = values["AI_PROXY_URL"], values["AI_PROXY_SECRET"]
    if (url is None) != (secret is None):
        missing, given = ("URL", "SECRET") if url is None else ("SECRET", "URL")
        takes = f"is required with AI_PROXY_{given}"
        yield Problem(f"AI_PROXY_{missing}", "nothing", takes)
    elif values["AI_PROVIDER"] == "openrouter" and not (url or values["OPENROUTER_API_KEY"]):
        takes = "is required with AI_PROVIDER=openrouter, unless AI_PROXY_URL is given"
        yield Problem("OPENROUTER_API_KEY", "nothing", takes)


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
    return parse(path.read_text(encoding="utf-8"))


def parse(file: str) -> dict[str, str]:
    """Read NAME=value lines as Compose does: comments, one pair of quotes.

    Raises ContractError for a line that is not an assignment or is given twice.
    """
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for number, line in enumerate(file.splitlines(), 1):
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


def _gunicorn_problems(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[Problem]:
    """Options by which a start would go round the cap on workers."""
    for source, words in (
        ("the command", command[1:]),
        ("GUNICORN_CMD_ARGS", _words(environ.get("GUNICORN_CMD_ARGS", ""))),
    ):
        for word, following in zip_longest(words, words[1:], fillvalue=""):
            if re.match(r"-w|-[^-=]*w\d|--w(o(r(k(e(rs?)?)?)?)?)?(=|$)", word):
                yield Problem(source, repr(word), "takes no number of workers: set WEB_CONCURRENCY")
            config = word.partition("=")[2] if "=" in word else following
            if re.match(r"-c|--conf", word) and Path(config).name != "gunicorn_config.py":
                yield Problem(source, repr(f"{word} {config}"), "takes gunicorn_config.py alone")


def _settings_file(module: str) -> Path:
    return Path(__file__).resolve().parents[1].joinpath(*module.split(".")).with_suffix(".py")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # Gunicorn would not read it either
        return text.split()


def check(
    environ: Mapping[str, str],
    *roles: str,
    every: bool = False,
    command: Sequence[str] = (),
) -> None:
    """Raise ContractError unless processes of these roles may start with this environment.

    `every`: a variable that nobody reads is a problem even where it resembles none of ours.
    `command`: its options may not go round what the environment says.
    """
    problems = list(misspelt(environ, every=every))
    if "web" in roles:
        problems += _gunicorn_problems(command, environ)
    for role in roles:
        try:
            load(environ, role)
        except ContractError as error:
            problems += error.problems
    module = environ.get("DJANGO_SETTINGS_MODULE", "")
    if module in SETTINGS and not every and not _settings_file(module).is_file():
        takes = f"is not in this image: takes {PRODUCTION}"
        problems.append(Problem("DJANGO_SETTINGS_MODULE", repr(module), takes))
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
            case ["check", role, *command] if role in ROLES:
                check(os.environ, role, command=command)
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
