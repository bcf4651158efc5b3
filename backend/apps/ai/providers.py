"""What every recogniser answers, whichever model is behind it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from apps.jobs.errors import Temporary

# By path: a provider's libraries come into memory only where it is asked.
PROVIDERS = {
    "local": "apps.ai.local.LocalProvider",
    "openrouter": "apps.ai.openrouter.OpenRouterProvider",
}


class Unavailable(Temporary):
    """The provider did not serve us, whatever it was asked."""


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
    is_food: bool = True
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request to a model: what came of it, and what it cost as far as we were told."""

    model: str
    outcome: str
    milliseconds: int
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Decimal | None = None
    generation: str = ""


class Provider(Protocol):
    name: str

    def recognize(
        self,
        *,
        text: str,
        language: str,
        pictures: Sequence[bytes] = (),
        note_call: Callable[[Call], None],
    ) -> Answer:
        """Say what the text describes, or the pictures (JPEG) show, in one answer.

        `note_call` is told of every request to a model as soon as it has ended, well or not.
        Raises `Unavailable` and other `jobs.errors.Temporary` where another try makes sense,
        and `jobs.errors.Permanent` where it does not.
        """


def chosen_provider() -> Provider:
    """Who recognises meals in this deployment."""
    provider: Provider = import_string(PROVIDERS[settings.AI_PROVIDER])()
    return provider


def is_paid() -> bool:
    """Whether asking costs money, and goes to somebody who may be away."""
    return bool(settings.AI_PROVIDER != "local")


def chosen_model() -> str:
    """The model that is asked first; empty where there is none. Loads no provider."""
    return settings.AI_MODEL if is_paid() else ""
