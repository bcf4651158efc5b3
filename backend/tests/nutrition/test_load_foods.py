"""The reference table of foods: its files, and how they get into the database."""

import csv
import io
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.ai.local_tokens import MAX_NAME, tokenize
from apps.nutrition.foods import DATA, EVERYDAY, FOODS, MEASURES, load_foods
from apps.nutrition.models import Food, FoodName, FoodTable, Meal, MealItem, Measure
from apps.nutrition.search import search_foods

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("foods")]


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def everything() -> list[list[tuple[object, ...]]]:
    """All that is loaded, without the keys that a reload may change."""
    return [
        list(Food.objects.order_by("pk").values_list()),
        sorted(Measure.objects.values_list("food_id", "position", "amount", "name", "grams")),
        sorted(FoodName.objects.values_list("language", "name", "food_id")),
    ]


def test_all_rows_are_loaded() -> None:
    assert Food.objects.count() == len(rows(FOODS))
    assert Measure.objects.count() == len(rows(MEASURES))
    assert Food.objects.exclude(title_ru="").count() == len(rows(EVERYDAY))


def test_an_unchanged_table_is_one_query() -> None:
    with CaptureQueriesContext(connection) as queries:
        loaded = load_foods()
    assert not loaded.changed
    assert len(queries) == 1


def test_loading_again_changes_nothing_and_nothing_of_peoples_own() -> None:
    user = User.objects.create(telegram_id=1)
    own = Food.objects.create(
        owner=user, name="Pie", energy_kcal=1, protein_g=0, fat_g=0, carbohydrate_g=0
    )
    for food in (own, Food.objects.get(source_id="01129")):
        user.favourites.create(food=food)
    before = everything()
    assert load_foods(force=True).changed
    assert everything() == before
    assert user.favourites.count() == 2


def test_a_changed_row_is_put_right_and_keeps_its_key() -> None:
    """The changed rows here are those of a release that knew neither this name nor synonyms."""
    egg = Food.objects.get(source_id="01129")
    user = User.objects.create(telegram_id=1)
    Food.objects.filter(pk=egg.pk).update(name="wrong", energy_kcal=Decimal(1))
    Food.objects.filter(source_id="01022").update(synonyms="")
    assert search_foods(user=user, text="голландский", limit=1) == []
    assert search_foods(user=user, text="gouda", limit=1)  # by its title, at once
    FoodTable.objects.update(checksum="of another release")
    assert load_foods().changed
    again = Food.objects.get(pk=egg.pk)
    assert (again.name, again.energy_kcal) == (egg.name, egg.energy_kcal)
    (gouda,) = search_foods(user=user, text="голландский", limit=1)
    assert gouda.source_id == "01022"
    assert not load_foods().changed


def test_a_food_that_left_the_table_leaves_meals_whole() -> None:
    gone = Food.objects.create(
        source_id="x", group="", name="Gone", energy_kcal=1, protein_g=0, fat_g=0, carbohydrate_g=0
    )
    user = User.objects.create(telegram_id=1)
    meal = Meal.objects.create(user=user, eaten_at=datetime.now(UTC))
    numbers = {"energy_kcal": 7, "protein_g": 0, "fat_g": 0, "carbohydrate_g": 0}
    item = MealItem.objects.create(
        meal=meal, food=gone, position=0, name="Gone", grams=10, **numbers
    )
    load_foods(force=True)
    item.refresh_from_db()
    assert (item.food, item.name, item.energy_kcal) == (None, "Gone", 7)


@pytest.mark.django_db(transaction=True)
def test_two_loads_at_once_leave_one_table() -> None:
    FoodTable.objects.all().delete()
    loaded: list[bool] = []

    def load() -> None:
        try:
            loaded.append(load_foods().changed)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(loaded) == [False, True]
    assert Food.objects.count() == len(rows(FOODS))
    assert Measure.objects.count() == len(rows(MEASURES))


def test_the_command_says_what_it_did() -> None:
    out = io.StringIO()
    call_command("load_foods", stdout=out)
    assert out.getvalue() == "Foods are up to date.\n"
    call_command("load_foods", force=True, stdout=out)
    assert out.getvalue().splitlines()[-1].startswith("Loaded 8789 foods, 15438 measures, ")


def test_everyday_foods_are_rows_of_the_table_each_once() -> None:
    everyday = [row["ndb_no"] for row in rows(EVERYDAY)]
    assert len(set(everyday)) == len(everyday) >= 350
    assert set(everyday) <= {row["ndb_no"] for row in rows(FOODS)}


@pytest.mark.parametrize("language", ["en", "ru"])
def test_everyday_names_are_unique_and_written_as_the_reader_reads_them(language: str) -> None:
    names = [name for row in rows(EVERYDAY) for name in row[f"names_{language}"].split("|")]
    assert len(set(names)) == len(names)
    for name in names:
        words = [token.text for token in tokenize(name)]
        assert " ".join(words) == name
        assert len(words) <= MAX_NAME


def test_everyday_foods_have_a_title_and_a_sane_weight() -> None:
    for row in rows(EVERYDAY):
        assert row["title_en"]
        assert row["title_ru"]
        assert 0 < Decimal(row["grams_each"] or 100) <= 600


def test_nutrients_are_plausible() -> None:
    for food in Food.objects.exclude(title_en=""):
        assert 0 <= food.energy_kcal <= 902, food
        assert food.protein_g + food.fat_g + food.carbohydrate_g <= 101, food
        # Atwater's general factors; fibre, alcohol, acids and tea leaves make the rest.
        computed = 4 * food.protein_g + 9 * food.fat_g + 4 * food.carbohydrate_g
        assert food.energy_kcal <= computed * Decimal("1.25") + 20 or is_alcohol(food), food


def is_alcohol(food: Food) -> bool:
    return food.name.lower().startswith(("alcoholic", "vanilla extract"))


@pytest.mark.parametrize(
    ("name", "source_id"),
    [
        ("яйцо", "01129"),
        ("рис", "20045"),
        ("гречка", "20010"),
        ("куриная грудка", "05064"),
        ("творог", "01012"),
        ("кефир", "01289"),
        ("egg", "01129"),
        ("rice", "20045"),
        ("banana", "09040"),
    ],
)
def test_a_name_is_of_the_sensible_row(name: str, source_id: str) -> None:
    assert FoodName.objects.get(name=name).food.source_id == source_id
