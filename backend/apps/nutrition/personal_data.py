"""What this app knows about a person, told and forgotten."""

from typing import Any

from apps.accounts.models import User
from apps.accounts.personal_data import PersonalData
from apps.nutrition.models import NUTRIENTS


def export_nutrition(user: User) -> dict[str, Any]:
    """Meals, own foods, favourites and targets; five queries."""
    return {
        "meals": [
            {
                "date": meal.date,
                "eaten_at": meal.eaten_at,
                "time_zone": meal.time_zone,
                "created_at": meal.created_at,
                "items": [
                    {field: getattr(item, field) for field in ("name", "grams", *NUTRIENTS)}
                    for item in meal.items.all()
                ],
            }
            for meal in user.meals.order_by("eaten_at", "pk").prefetch_related("items")
        ],
        "foods": list(user.foods.order_by("pk").values("name", "grams_each", *NUTRIENTS)),
        "favourites": list(user.favourites.order_by("pk").values_list("food__name", flat=True)),
        "targets": list(
            user.targets.order_by("from_date").values("from_date", "by_hand", *NUTRIENTS)
        ),
    }


def erase_nutrition(user: User) -> None:
    user.meals.all().delete()
    user.favourites.all().delete()
    user.foods.all().delete()
    user.targets.all().delete()


NUTRITION = PersonalData(name="nutrition", export=export_nutrition, erase=erase_nutrition)
