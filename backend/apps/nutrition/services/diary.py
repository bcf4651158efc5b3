"""What changes the diary."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Max

from apps.accounts.models import User
from apps.nutrition.models import NUTRIENTS, Food, Meal, MealItem

CENT = Decimal("0.01")
MAX_ITEMS = 100


# What the columns hold.
MOST = Decimal("9999999.99")


class MealFull(Exception):
    """A meal takes no more than MAX_ITEMS lines."""


class TooMuch(Exception):
    """No food has so much of anything."""


class KeyReused(Exception):
    """The key belongs to a request with other content."""


@dataclass(frozen=True)
class Key:
    """What a client calls its request, and a digest of it; of one user there is one a meal."""

    text: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Portion:
    """A line of a meal to be. Nutrients are those of `grams`."""

    name: str
    grams: Decimal
    energy_kcal: Decimal
    protein_g: Decimal
    fat_g: Decimal
    carbohydrate_g: Decimal
    food: Food | None = None


def portion_of(food: Food, grams: Decimal, language: str) -> Portion:
    """So many grams of a food, called by its title in "ru" or "en"."""
    weight = round_to_cents(grams)
    nutrients = scale_nutrients(food, weight / 100)
    return Portion(name=food.title(language), grams=weight, food=food, **nutrients)


def create_meal(
    *,
    user: User,
    eaten_at: datetime,
    portions: Iterable[Portion],
    key: Key | None = None,
) -> Meal:
    """Write a meal and its lines, on the day that it is for the user now.

    With a key that a meal of theirs has already, it is that meal and nothing is written.
    Raises KeyReused.
    """
    day = eaten_at.astimezone(ZoneInfo(user.time_zone)).date()
    return _write_meal(user, eaten_at, day, portions, key)


def copy_meal(*, user: User, meal_id: int, day: date, key: Key | None = None) -> Meal:
    """The same again on another day, at the time of day at which it was eaten where it was.

    A time that a clock change leaves out becomes the one an hour later. Raises KeyReused.
    """
    meal = Meal.objects.prefetch_related("items").get(pk=meal_id, user=user)
    clock = meal.eaten_at.astimezone(ZoneInfo(meal.time_zone)).time().replace(fold=0)
    eaten_at = datetime.combine(day, clock, ZoneInfo(user.time_zone))
    fields = ("name", "grams", "food_id", *NUTRIENTS)
    items = [{field: getattr(item, field) for field in fields} for item in meal.items.all()]
    return _write_meal(user, eaten_at, day, items, key)


def _write_meal(
    user: User,
    eaten_at: datetime,
    day: date,
    portions: Iterable[Portion | Mapping[str, Any]],
    key: Key | None,
) -> Meal:
    fields = {"eaten_at": eaten_at.astimezone(UTC), "date": day, "time_zone": user.time_zone}
    with transaction.atomic():
        if key is None:
            meal = Meal.objects.create(user=user, **fields)
        else:
            meal, created = Meal.objects.get_or_create(
                user=user,
                idempotency_key=key.text,
                defaults={**fields, "content": key.content},
            )
            if not created and meal.content != key.content:
                raise KeyReused
            if not created:
                return meal
        MealItem.objects.bulk_create(
            MealItem(
                meal=meal,
                position=position,
                **(vars(portion) if isinstance(portion, Portion) else portion),
            )
            for position, portion in enumerate(portions)
        )
    return meal


def move_meal(*, user: User, meal_id: int, eaten_at: datetime) -> Meal:
    """Have it eaten at another time, on the day that this is for the user now."""
    with transaction.atomic():
        meal = _lock_meal(user, meal_id)
        meal.eaten_at = eaten_at.astimezone(UTC)
        meal.date = eaten_at.astimezone(ZoneInfo(user.time_zone)).date()
        meal.time_zone = user.time_zone
        meal.save(update_fields=["eaten_at", "date", "time_zone"])
    return meal


def delete_meal(*, user: User, meal_id: int) -> None:
    with transaction.atomic():
        _lock_meal(user, meal_id).delete()


def add_item(*, user: User, meal_id: int, portion: Portion) -> Meal:
    """Add a line at the end. Raises MealFull."""
    with transaction.atomic():
        meal = _lock_meal(user, meal_id)
        if meal.items.count() >= MAX_ITEMS:
            raise MealFull
        last = meal.items.aggregate(last=Max("position"))["last"]
        MealItem.objects.create(
            meal=meal, position=0 if last is None else last + 1, **vars(portion)
        )
    return meal


def edit_item(*, user: User, meal_id: int, item_id: int, changes: Mapping[str, Any]) -> Meal:
    """Write `changes` (of `name`, `grams` and the nutrients) into a line.

    Where `grams` change, nutrients that are not among the changes follow in proportion.
    Raises TooMuch where that leads too far.
    """
    with transaction.atomic():
        meal = _lock_meal(user, meal_id)
        item = meal.items.get(pk=item_id)
        if "grams" in changes and item.grams:
            scaled = scale_nutrients(item, changes["grams"] / item.grams)
            changes = {**scaled, **changes}
            if max(scaled.values()) > MOST:
                raise TooMuch
        for field, value in changes.items():
            setattr(item, field, value)
        item.save(update_fields=list(changes))
    return meal


def delete_item(*, user: User, meal_id: int, item_id: int) -> None:
    """Take a line away. The last one takes its meal along: a meal of nothing is none."""
    with transaction.atomic():
        meal = _lock_meal(user, meal_id)
        meal.items.get(pk=item_id).delete()
        if not meal.items.exists():
            meal.delete()


def _lock_meal(user: User, meal_id: int) -> Meal:
    """The user's meal, which nobody else changes until the transaction ends."""
    return Meal.objects.select_for_update().get(pk=meal_id, user=user)


def scale_nutrients(source: Any, times: Decimal) -> dict[str, Decimal]:
    return {name: round_to_cents(getattr(source, name) * times) for name in NUTRIENTS}


def round_to_cents(number: Decimal) -> Decimal:
    return number.quantize(CENT, ROUND_HALF_UP)
