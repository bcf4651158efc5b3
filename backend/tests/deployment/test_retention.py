"""Which backups stay."""

import subprocess
from datetime import date, timedelta

from tests.processes import ROOT


def kept(names: list[str], env: str = "") -> list[str]:
    """What the scripts keep of these, with this `.env`."""
    program = (
        'set -euo pipefail; setting() { v=$(sed -n "s/^$1=//p" <<<"$ENV"); '
        "printf '%s' \"${v:-${2:-}}\"; }; . scripts/lib/backups.sh; kept_names"
    )
    done = subprocess.run(
        ["bash", "-c", program],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "ENV": env},
        input="\n".join(names),
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(done.stdout.split())


def nights(first: date, count: int) -> list[str]:
    return [f"{first + timedelta(days=day)}T01-30-00Z" for day in range(count)]


def test_days_weeks_and_months_are_kept_and_no_more() -> None:
    names = nights(date(2024, 12, 1), 400)
    result = kept(names)
    assert names[-7:] == result[-7:], "the last seven days"
    assert 7 + 3 <= len(result) <= 7 + 5 + 12
    months = {name[:7] for name in result}
    assert months == {name[:7] for name in names[-366 + 31 :]}, "the last twelve months"
    weeks = {date.fromisoformat(name[:10]).isocalendar()[:2] for name in names}
    kept_weeks = {date.fromisoformat(name[:10]).isocalendar()[:2] for name in result}
    assert sorted(weeks)[-5:] == sorted(kept_weeks)[-5:]


def test_all_of_the_last_day_stay_and_of_earlier_days_the_newest() -> None:
    names = ["2026-01-28T18-00-00Z", "2026-01-28T19-00-00Z", *nights(date(2026, 1, 30), 2)]
    names += ["2026-01-31T18-00-00Z", "2026-01-31T18-30-00Z"]
    assert kept(names) == [name for name in names if name != "2026-01-28T18-00-00Z"]


def test_the_newest_stays_however_old_and_whatever_is_configured() -> None:
    env = "BACKUP_KEEP_DAYS=1\nBACKUP_KEEP_WEEKS=0\nBACKUP_KEEP_MONTHS=0"
    assert kept(nights(date(2020, 1, 1), 9), env) == ["2020-01-09T01-30-00Z"]
    assert kept([]) == []


def test_keeping_again_what_was_kept_removes_nothing() -> None:
    once = kept(nights(date(2025, 1, 1), 300))
    assert kept(once) == once
