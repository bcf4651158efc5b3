"""The register of what is kept about a person."""

import pytest

from apps.accounts import personal_data
from apps.accounts.models import User
from apps.accounts.personal_data import PersonalData, register, registered


def part(name: str) -> PersonalData:
    def erase(user: User) -> None:
        raise NotImplementedError

    return PersonalData(name=name, export=lambda user: name, erase=erase)


@pytest.fixture(autouse=True)
def _empty_register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal_data, "_registered", {})


def test_parts_come_in_the_order_in_which_they_were_offered() -> None:
    parts = [part("b"), part("a"), part("c")]
    for each in parts:
        register(each)
    assert registered() == tuple(parts)


def test_a_part_is_offered_once_under_its_name() -> None:
    register(part("a"))
    with pytest.raises(ValueError, match="two parts are named a"):
        register(part("a"))
    assert len(registered()) == 1
