"""What changes the diary."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from apps.accounts.models import User
from apps.nutrition.models import Meal, MealItem


@dataclass(frozen=True, kw_only=True)
class Portion:
    """A line of a meal to be. Nutrients are those of `grams`."""

    name: str
    grams: Decimal
    energy_kcal: Decimal
    protein_g: Decimal
    fat_g: Decimal
    carbohydrate_g: Decimal


def create_meal(*, user: User, eaten_at: datetime, portions: Iterable[Portion]) -> Meal:
    """Write a meal and its lines."""
    with transaction.atomic():
        meal = Meal.objects.create(user=user, eaten_at=eaten_at)
        MealItem.objects.bulk_create(
            MealItem(meal=meal, position=position, **vars(portion))
            for position, portion in enumerate(portions)
        )
    return meal
