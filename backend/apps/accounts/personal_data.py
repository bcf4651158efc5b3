"""What is kept about a person: each app says how to tell its part, and how to forget it.

    register(PersonalData(name="diary", export=export_diary, erase=erase_diary))

in `AppConfig.ready`. An export asks everybody in the order of registration; a deletion in the
reverse of it, so that what builds on something goes before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apps.accounts.models import User


@dataclass(frozen=True, kw_only=True)
class PersonalData:
    """One app's part of what is known about a person; `name` is its key in the exported file.

    `export`: what JSON can hold (dates, decimals and UUIDs besides), told in one read-only
    transaction.
    `erase`: called in the transaction that also takes the person's row away.
    `erase_outside`: files and the like. Called before that, without a transaction, and perhaps
    several times; raises `jobs.errors.Temporary` where it is to be tried again.
    """

    name: str
    export: Callable[[User], Any]
    erase: Callable[[User], None]
    erase_outside: Callable[[User], None] | None = None


_registered: dict[str, PersonalData] = {}


def register(data: PersonalData) -> None:
    """Offer a part; apps do so when they are ready. Raises ValueError for a name that is taken."""
    if data.name in _registered:
        raise ValueError(f"two parts are named {data.name}")
    _registered[data.name] = data


def registered() -> tuple[PersonalData, ...]:
    """Every part there is, in the order of registration: lower apps first."""
    return tuple(_registered.values())
