"""What changes a user's own foods and favourites."""

from decimal import Decimal

from django.db import transaction

from apps.accounts.models import User
from apps.nutrition.models import Favourite, Food

MAX_OWN_FOODS = 1000
MAX_FAVOURITES = 1000


class TooMany(Exception):
    """Nobody has so many foods; a programme that runs wild would."""


def create_food(*, user: User, name: str, grams_each: Decimal | None, **nutrients: Decimal) -> Food:
    """A food of the user's own; nutrients per 100 g. Raises TooMany."""
    if user.foods.count() >= MAX_OWN_FOODS:
        raise TooMany
    return Food.objects.create(owner=user, name=name, grams_each=grams_each, **nutrients)


def change_food(
    *, user: User, food_id: int, name: str, grams_each: Decimal | None, **nutrients: Decimal
) -> Food:
    """Replace what an own food says of itself. What was eaten of it keeps its numbers."""
    fields = {"name": name, "grams_each": grams_each, **nutrients}
    with transaction.atomic():
        food = user.foods.select_for_update().get(pk=food_id)
        for field, value in fields.items():
            setattr(food, field, value)
        food.save(update_fields=list(fields))
    return food


def delete_food(*, user: User, food_id: int) -> None:
    """Forget an own food. What was eaten of it keeps its name and numbers."""
    user.foods.get(pk=food_id).delete()


def add_favourite(*, user: User, food_id: int) -> None:
    """Raises TooMany. Adding again changes nothing."""
    food = Food.objects.seen_by(user).get(pk=food_id)
    if user.favourites.exclude(food=food).count() >= MAX_FAVOURITES:
        raise TooMany
    Favourite.objects.get_or_create(user=user, food=food)


def remove_favourite(*, user: User, food_id: int) -> None:
    """Removing what is no favourite changes nothing."""
    food = Food.objects.seen_by(user).get(pk=food_id)
    Favourite.objects.filter(user=user, food=food).delete()
