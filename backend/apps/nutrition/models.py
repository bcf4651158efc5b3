"""Foods, and what was eaten of them."""

from typing import Any

from django.conf import settings
from django.db import models


def quantity(*, null: bool = False) -> Any:
    """A quantity with two places: grams or kilocalories."""
    return models.DecimalField(max_digits=9, decimal_places=2, null=null)


class Nutrients(models.Model):
    """What is summed over a day. Grams, and kilocalories."""

    energy_kcal = quantity()
    protein_g = quantity()
    fat_g = quantity()
    carbohydrate_g = quantity()

    class Meta:
        abstract = True


NUTRIENTS = ("energy_kcal", "protein_g", "fat_g", "carbohydrate_g")


class Food(Nutrients):
    """A food of the reference table; its nutrients are per 100 g of the edible part.

    Everyday foods also have a title for people and the usual weight of one.
    """

    source_id = models.CharField(max_length=16, unique=True)
    group = models.CharField(max_length=64)
    name = models.CharField(max_length=255)
    common_name = models.CharField(max_length=128, blank=True)
    title_en = models.CharField(max_length=64, blank=True)
    title_ru = models.CharField(max_length=64, blank=True)
    grams_each = quantity(null=True)
    fiber_g = quantity(null=True)
    sugar_g = quantity(null=True)

    def __str__(self) -> str:
        return self.name


class Measure(models.Model):
    """A household measure: `amount` × `name` of the food weigh `grams`."""

    food = models.ForeignKey(Food, models.CASCADE, related_name="measures")
    position = models.PositiveSmallIntegerField()
    amount = models.DecimalField(max_digits=9, decimal_places=3)
    name = models.CharField(max_length=128)
    grams = quantity()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["food", "position"], name="measure_position_unique")
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.name}"


class FoodName(models.Model):
    """What people call a food, in one grammatical form: lower case, "ё" written "е"."""

    language = models.CharField(max_length=2)
    name = models.CharField(max_length=64)
    food = models.ForeignKey(Food, models.CASCADE, related_name="names")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["language", "name"], name="foodname_unique")]

    def __str__(self) -> str:
        return self.name


class FoodTable(models.Model):
    """The one row that says which version of the table is loaded."""

    checksum = models.CharField(max_length=64)
    loaded_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.checksum


class Meal(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="meals")
    eaten_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["user", "eaten_at"], name="meal_user_eaten_at")]

    def __str__(self) -> str:
        return f"meal {self.pk}"


class MealItem(Nutrients):
    """A line of a meal; its nutrients are those of `grams`, not of 100 g."""

    meal = models.ForeignKey(Meal, models.CASCADE, related_name="items")
    food = models.ForeignKey(Food, models.SET_NULL, null=True)
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=255)
    grams = quantity()

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return self.name
