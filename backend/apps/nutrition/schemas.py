"""Shapes that speak of food, for this app's API and those above it."""

from datetime import date, datetime

from ninja import Schema

from apps.nutrition.models import Meal
from apps.nutrition.queries import Day, sum_nutrients
from config.schemas import Amount


class NutrientsOut(Schema):
    energy_kcal: Amount
    protein_g: Amount
    fat_g: Amount
    carbohydrate_g: Amount


class PortionOut(NutrientsOut):
    name: str
    grams: Amount


class MealOut(Schema):
    id: int
    eaten_at: datetime
    totals: NutrientsOut
    items: list[PortionOut]

    @classmethod
    def of(cls, meal: Meal) -> "MealOut":
        items = list(meal.items.all())
        return cls(
            id=meal.pk,
            eaten_at=meal.eaten_at,
            totals=NutrientsOut(**sum_nutrients(items)),
            items=[PortionOut.from_orm(item) for item in items],
        )


class DayOut(Schema):
    date: date
    totals: NutrientsOut
    meals: list[MealOut]

    @classmethod
    def of(cls, day: Day) -> "DayOut":
        return cls(
            date=day.date,
            totals=NutrientsOut(**day.totals),
            meals=[MealOut.of(meal) for meal in day.meals],
        )
