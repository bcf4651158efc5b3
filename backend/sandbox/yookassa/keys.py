"""Idempotence: what a key was first used for, and what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sandbox.yookassa.wishes import Invalid

LIFETIME = timedelta(hours=24)

T = TypeVar("T")


@dataclass(frozen=True)
class Use:
    """The first use of a key. What it made stays the same object, however it fares later."""

    request: tuple[str, Mapping[str, Any]]
    at: datetime
    made: Any = None
    error: Invalid | None = None


class Keys:
    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._uses: dict[str, Use] = {}

    def once(self, key: str, request: tuple[str, Mapping[str, Any]], make: Callable[[], T]) -> T:
        """What `make` returns or raises: of the key's first use, where that is not too old."""
        if not 1 <= len(key) <= 64:
            raise Invalid("the key has 1 to 64 characters", "Idempotence-Key")
        use = self._uses.get(key)
        if use is None or self._now() >= use.at + LIFETIME:
            use = self._uses[key] = self._first_use(request, make)
        if use.request != request:
            raise Invalid("Idempotence key duplicated", "Idempotence-Key")
        if use.error:
            raise use.error
        made: T = use.made
        return made

    def _first_use(self, request: tuple[str, Mapping[str, Any]], make: Callable[[], T]) -> Use:
        try:
            return Use(request, self._now(), made=make())
        except Invalid as error:
            return Use(request, self._now(), error=error)
