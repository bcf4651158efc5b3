"""Foods, what was eaten of them, and what was meant to be."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import Func, Q

# Kilocalories in a gram: Atwater's general factors (Merrill and Watt, USDA Handbook 74, 1973).
KCAL_PER_GRAM = {"protein_g": 4, "fat_g": 9, "carbohydrate_g": 4}
DOUBT_SHARE = Decimal("0.25")
# Tea has a kilocalorie or two from what is no macronutrient: nobody should look at that.
DOUBT_FLOOR = Decimal(5)


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

    @property
    def doubtful(self) -> bool:
        """Whether the energy is more than 25 %, and 5 kcal, off what the macronutrients come to.

        A mark for people to look at: alcohol, which is none of the three, stays doubtful.
        """
        computed = Decimal(sum(kcal * getattr(self, name) for name, kcal in KCAL_PER_GRAM.items()))
        off: Decimal = abs(self.energy_kcal - computed)
        return off > max(DOUBT_SHARE * computed, DOUBT_FLOOR)


NUTRIENTS = ("energy_kcal", "protein_g", "fat_g", "carbohydrate_g")


def folded(*columns: str) -> Func:
    """The words of the columns in SQL, as `search.fold` makes them in Python."""
    return Func(
        *columns,
        template=(
            "regexp_replace(translate(lower((%(expressions)s) COLLATE pg_c_utf8), 'ё', 'е'), "
            "'[^[:alnum:]]+', ' ', 'g')"
        ),
        arg_joiner=" || ' ' || ",
        output_field=models.TextField(),
    )


def words(*columns: str, weight: str) -> Func:
    """Their stems and the words themselves, of which a beginning may be typed.

    The configuration "russian" stems words in Latin letters as English ones.
    """
    vector = "to_tsvector('{}', %(expressions)s)"
    return Func(
        folded(*columns),
        template=f"setweight({vector.format('russian')} || {vector.format('simple')}, '{weight}')",
        output_field=SearchVectorField(),
    )


class FoodManager(models.Manager["Food"]):
    def get_queryset(self) -> models.QuerySet["Food"]:
        """Without the search vector, which PostgreSQL alone reads."""
        return super().get_queryset().defer("search")

    def of_table(self) -> models.QuerySet["Food"]:
        return self.filter(owner=None)

    def seen_by(self, user: Any) -> models.QuerySet["Food"]:
        """Those of the table and the user's own."""
        return self.filter(Q(owner=None) | Q(owner=user))


class Food(Nutrients):
    """A food of the reference table, or a user's own; per 100 g of the edible part.

    Everyday foods of the table also have a title for people, the usual weight of one, and in
    `synonyms` all that people call them, for the search.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="foods"
    )
    source_id = models.CharField(max_length=16, unique=True, null=True)  # noqa: DJ001 (unique where there)
    group = models.CharField(max_length=64)
    name = models.CharField(max_length=255)
    common_name = models.CharField(max_length=128, blank=True)
    title_en = models.CharField(max_length=64, blank=True)
    title_ru = models.CharField(max_length=64, blank=True)
    synonyms = models.TextField(blank=True, db_default="")
    grams_each = quantity(null=True)
    fiber_g = quantity(null=True)
    sugar_g = quantity(null=True)
    search = models.GeneratedField(
        expression=Func(
            # A is what people say, D how the table has it.
            words("title_ru", "title_en", "synonyms", weight="A"),
            words("common_name", "name", weight="D"),
            template="(%(expressions)s)",
            arg_joiner=" || ",
        ),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects = FoodManager()

    class Meta:
        indexes = [
            # Seldom written: a pending list would only be in the way of reading.
            GinIndex(fields=["search"], name="food_search", fastupdate=False)
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(owner=None, source_id__isnull=False)
                | Q(owner__isnull=False, source_id=None),
                name="food_owned_or_of_table",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def title(self, language: str) -> str:
        """What to call it: its title in "ru" or "en", else the name that it has."""
        return (self.title_ru if language == "ru" else self.title_en) or self.name


class Favourite(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="favourites")
    food = models.ForeignKey(Food, models.CASCADE, related_name="favourites")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "food"], name="favourite_unique")]

    def __str__(self) -> str:
        return f"food {self.food_id} of user {self.user_id}"


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


# Until every process knows these columns, a meal gets them from the database: meals were then
# eaten at the moment of writing, and counted by the display zone they are at most a day off.
DISPLAY_ZONE = "Europe/Moscow"


class Meal(models.Model):
    """What was eaten at one time.

    `date` and `time_zone` are those that its eater had when it was written: a later change of
    zone moves no meal to another day.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="meals")
    eaten_at = models.DateTimeField()
    date = models.DateField(
        db_default=Func(
            template=f"(now() AT TIME ZONE '{DISPLAY_ZONE}')::date", output_field=models.DateField()
        )
    )
    time_zone = models.CharField(max_length=64, db_default=DISPLAY_ZONE)
    idempotency_key = models.CharField(max_length=64, null=True)  # noqa: DJ001 (unique where there)
    # Of the request that the key came with, to tell a repetition from another.
    content = models.CharField(max_length=64, blank=True, db_default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["user", "eaten_at"], name="meal_user_eaten_at"),
            models.Index(fields=["user", "date"], name="meal_user_date"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "idempotency_key"], name="meal_idempotency_key_unique"
            )
        ]

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


class Targets(models.Model):
    """What a user means to eat a day, from a date on until the next row of theirs.

    Without numbers: from this day on there are none, since the profile lacks something.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="targets")
    from_date = models.DateField()
    by_hand = models.BooleanField(default=False)
    energy_kcal = quantity(null=True)
    protein_g = quantity(null=True)
    fat_g = quantity(null=True)
    carbohydrate_g = quantity(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "from_date"], name="targets_from_date_unique"),
            models.CheckConstraint(
                condition=Q(*((name, None) for name in NUTRIENTS))
                | Q(*((f"{name}__isnull", False) for name in NUTRIENTS)),
                name="targets_whole_or_none",
            ),
        ]

    def __str__(self) -> str:
        return f"targets from {self.from_date}"
