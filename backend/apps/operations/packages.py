"""Whether what is installed is what uv.lock says, and uv.lock what pyproject.toml asks for.

python -m apps.operations.packages     print how the lock differs from pyproject.toml
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Package = dict[str, Any]

REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?\s*([^;]*)")


def normal(name: str) -> str:
    """A distribution's name as locks and indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_packages(paths: Iterable[str] = ()) -> dict[str, set[str]]:
    """Versions by name: more than one where two copies are in each other's way."""
    found: dict[str, set[str]] = {}
    for path in dict.fromkeys(paths or sys.path):
        for directory in Path(path or ".").glob("*.dist-info"):
            name, _, version = directory.name.removesuffix(".dist-info").rpartition("-")
            found.setdefault(normal(name), set()).add(version)
    return found


def installed_problems(project: Path, paths: Iterable[str] = ()) -> list[str]:
    """How what is installed differs from `project`/uv.lock; one line a package."""
    locked = _locked(project)
    installed = installed_packages(paths)
    problems = [
        f"{name} {version} is installed, the lock says {locked[name]['version']}"
        if name in locked
        else f"{name} {version} is installed, the lock does not know it"
        for name, versions in installed.items()
        for version in versions
        if locked.get(name, {}).get("version") != version
    ]
    missing = set(_needed(locked, _root(locked))) - installed.keys()
    problems += [f"{name} {locked[name]['version']} is not installed" for name in missing]
    return sorted(problems)


def lock_problems(project: Path) -> list[str]:
    """What pyproject.toml asks for and the lock was not made for, and the reverse.

    Compares names, extras and versions; `uv lock --check` also resolves them again.
    """
    asked = tomllib.loads((project / "pyproject.toml").read_text())
    metadata = _root(_locked(project))["metadata"]
    problems = []
    for wanted, recorded in (
        (asked["project"]["dependencies"], metadata["requires-dist"]),
        (asked["dependency-groups"]["dev"], metadata["requires-dev"]["dev"]),
    ):
        ours, locks = {_spelled(text) for text in wanted}, {_recorded(one) for one in recorded}
        problems += [f"pyproject.toml asks for {text}, the lock does not" for text in ours - locks]
        problems += [f"the lock was made for {text}, nobody asks for it" for text in locks - ours]
    return sorted(problems)


def _locked(project: Path) -> dict[str, Package]:
    # Without the files' addresses, nine lines of ten: every start reads it.
    lines = (project / "uv.lock").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith(("    { url =", "sdist =")))
    return {package["name"]: package for package in tomllib.loads(text)["package"]}


def _root(locked: dict[str, Package]) -> Package:
    return next(package for package in locked.values() if package["source"].get("virtual") == ".")


def _needed(locked: dict[str, Package], root: Package) -> Iterator[str]:
    """What production cannot do without; what a platform may not need is left out."""
    waiting, seen = list(root["dependencies"]), set()
    while waiting:
        edge = waiting.pop()
        name, extras = edge["name"], tuple(edge.get("extra", ()))
        if "marker" in edge or (name, extras) in seen:
            continue
        seen.add((name, extras))
        yield name
        package = locked[name]
        waiting += package.get("dependencies", [])
        for extra in extras:
            waiting += package.get("optional-dependencies", {}).get(extra, [])


def _spelled(requirement: str) -> str:
    match = REQUIREMENT.match(requirement)
    assert match, requirement
    name, extras, versions = match.groups()
    return _canonical(name, (extras or "").split(","), versions)


def _recorded(requirement: Package) -> str:
    return _canonical(
        requirement["name"], requirement.get("extras", []), requirement.get("specifier", "")
    )


def _canonical(name: str, extras: Iterable[str], versions: str) -> str:
    listed = ",".join(sorted(extra.strip() for extra in extras if extra.strip()))
    bounds = ",".join(sorted(re.sub(r"\s", "", versions).split(",")))
    return normal(name) + (f"[{listed}]" if listed else "") + bounds


if __name__ == "__main__":
    found = lock_problems(Path(__file__).resolve().parents[2])
    sys.exit("\n".join(found) or 0)
