"""What the documents say of this project is so."""

import re
import subprocess

from tests.processes import ROOT

SOURCES = (
    "backend/apps",
    "backend/config",
    "backend/sandbox",
    "backend/tests/deployment/engine.py",
)
OURS = ("scripts", "deploy", "compose.yml", "entrypoint.sh", "healthcheck.sh", "gunicorn_config.py")
FOREIGN = "password authentication failed"


def source_text() -> str:
    """Every source, a text that goes over two lines in one piece."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", *SOURCES, *OURS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    suffixes = (".py", ".sh", ".yml", ".conf")
    files = [ROOT / name for name in names if name.endswith(suffixes)]
    text = "\n".join(path.read_text() for path in files if path.exists())
    return re.sub(r'"(?: \\)?\n\s*f?"', "", text)


def messages() -> list[str]:
    text = (ROOT / "docs/TROUBLESHOOTING.md").read_text()
    ours, foreign = text.split("## Not ours")
    assert foreign.count("\n| ") > 3
    rows = [line.split(" | ")[0] for line in ours.splitlines() if line.startswith("| ")]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


def nobodys(quoted: list[str]) -> list[str]:
    """Those that no source says. What is waited for is a name filled in."""
    text = source_text()
    return [
        message
        for message in quoted
        if re.sub("(?<=gave up waiting for )the .*", "{what}", message) not in text
    ]


def test_every_message_that_is_explained_is_one_of_ours() -> None:
    quoted = [message for message in messages() if message not in (FOREIGN, "code")]
    assert len(quoted) > 40
    assert nobodys(quoted) == []
    assert nobodys([*quoted, "the databas away"]) == ["the databas away"]


def test_links_lead_somewhere() -> None:
    for document in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document.name}: {target}"
