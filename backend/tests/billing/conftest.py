"""Loaded before Django is configured: its parts are imported where they are used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.billing.shop import Shop


@pytest.fixture
def shop(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    from apps.billing.plans import ensure_catalogue
    from tests.billing.shop import open_shop

    ensure_catalogue()
    with open_shop(monkeypatch) as shop:
        yield shop
