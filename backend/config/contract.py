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
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from config.combinations import Problem, problems_together
from config.kinds import Invalid, Value
from config.variables import BY_NAME, PREFIXES, PRODUCTION, ROLES, SETTINGS, VARIABLES, Variable

EX_CONFIG = 78
"""sysexits.h: configuration error. A supervisor can tell it from a crash."""


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
    problems += (
        problem for problem in problems_together(values, role) if problem.name not in wrong
    )
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
