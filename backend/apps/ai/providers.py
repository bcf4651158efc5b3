"""What every recogniser answers, whichever model is behind it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Item:
    """One food on the plate. Nutrients are those of `grams`; confidence is 0 to 1."""

    name: str
    grams: Decimal
    energy_kcal: Decimal
    protein_g: Decimal
    fat_g: Decimal
    carbohydrate_g: Decimal
    confidence: Decimal = Decimal(1)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a provider saw. No items means that there was nothing to count."""

    items: tuple[Item, ...]
    notes: str = ""


class Provider(Protocol):
    name: str

    def recognize(self, *, text: str, language: str, photo: bytes | None = None) -> Answer:
        """Say what the text describes, or the photo shows.

        Raises `jobs.errors.Temporary` where another try makes sense and
        `jobs.errors.Permanent` where it does not.
        """
