"""The reference table of foods: three CSV files, loaded whole or not at all.

`usda-sr28-*.csv` are USDA's National Nutrient Database, Standard Reference 28 (public domain);
`everyday-foods.csv` says what people call its rows.
"""

import csv
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from django.db import connection, transaction

from apps.nutrition.models import NUTRIENTS, Food, FoodName, FoodTable, Measure

DATA = Path(__file__).parent / "data"
FOODS, MEASURES, EVERYDAY = FILES = (
    "usda-sr28-foods.csv",
    "usda-sr28-measures.csv",
    "everyday-foods.csv",
)
LANGUAGES = ("en", "ru")
# Raised when this module reads the same files differently, so that they are loaded again.
FORMAT = 2
# The key of the advisory lock: any number that nothing else in this database locks.
LOCK = 0x464F4F44
BATCH = 2000
UPDATED = (
    "group",
    "name",
    "common_name",
    "title_en",
    "title_ru",
    "synonyms",
    "grams_each",
    *NUTRIENTS,
    "fiber_g",
    "sugar_g",
)

Progress = Callable[[str, int, int], None]
Row = dict[str, str]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """How many rows the table has; `changed` is false when it was up to date already."""

    changed: bool
    foods: int = 0
    measures: int = 0
    names: int = 0


def load_foods(*, force: bool = False, progress: Progress | None = None) -> Loaded:
    """Make the database's foods those of the files, in one transaction.

    A food keeps its primary key; one that left the files is deleted, and meals that had it
    keep their numbers. `progress` is told what is
    written, how many rows of it have been, and how many there are.
    """
    checksum = table_checksum()
    if not force and is_loaded(checksum):
        return Loaded(changed=False)
    with transaction.atomic():
        # Two releases starting together: the second waits, then finds the work done.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        if not force and is_loaded(checksum):
            return Loaded(changed=False)
        loaded = replace_foods(progress or (lambda what, written, rows: None))
        FoodTable.objects.update_or_create(pk=1, defaults={"checksum": checksum})
    return loaded


def table_checksum() -> str:
    digest = hashlib.sha256(str(FORMAT).encode())
    for name in FILES:
        digest.update((DATA / name).read_bytes())
    return digest.hexdigest()


def is_loaded(checksum: str) -> bool:
    return FoodTable.objects.filter(pk=1, checksum=checksum).exists()


def replace_foods(progress: Progress) -> Loaded:
    everyday = {row["ndb_no"]: row for row in read_rows(EVERYDAY)}
    foods = [build_food(row, everyday.get(row["ndb_no"], {})) for row in read_rows(FOODS)]
    Food.objects.of_table().exclude(source_id__in=[food.source_id for food in foods]).delete()
    for batch in batches("foods", changed_foods(foods), progress):
        Food.objects.bulk_create(
            batch, update_conflicts=True, unique_fields=["source_id"], update_fields=UPDATED
        )
    stored = Food.objects.of_table().values_list("source_id", "pk")
    keys = {source_id: pk for source_id, pk in stored if source_id is not None}
    # Nothing points at measures and names, so they are written anew.
    measures = [build_measure(row, keys) for row in read_rows(MEASURES)]
    Measure.objects.all().delete()
    for measured in batches("measures", measures, progress):
        Measure.objects.bulk_create(measured)
    names = [name for row in everyday.values() for name in build_names(row, keys)]
    FoodName.objects.all().delete()
    for named in batches("names", names, progress):
        FoodName.objects.bulk_create(named)
    return Loaded(changed=True, foods=len(foods), measures=len(measures), names=len(names))


def changed_foods(foods: list[Food]) -> list[Food]:
    """Those that the table lacks or has otherwise: a release rarely changes more than a few."""
    stored = {row[0]: row[1:] for row in Food.objects.of_table().values_list("source_id", *UPDATED)}
    return [
        food
        for food in foods
        if stored.get(food.source_id) != tuple(getattr(food, field) for field in UPDATED)
    ]


def batches(what: str, rows: list[T], progress: Progress) -> Iterator[list[T]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
        progress(what, min(start + BATCH, len(rows)), len(rows))


def read_rows(name: str) -> Iterator[Row]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def build_food(row: Row, everyday: Row) -> Food:
    return Food(
        source_id=row["ndb_no"],
        group=row["food_group"],
        name=row["description"],
        common_name=row["common_name"],
        title_en=everyday.get("title_en", ""),
        title_ru=everyday.get("title_ru", ""),
        synonyms="|".join(everyday.get(f"names_{language}", "") for language in LANGUAGES),
        grams_each=optional(everyday.get("grams_each", "")),
        fiber_g=optional(row["fiber_g"]),
        sugar_g=optional(row["sugar_g"]),
        **{nutrient: Decimal(row[nutrient]) for nutrient in NUTRIENTS},
    )


def build_measure(row: Row, keys: dict[str, int]) -> Measure:
    return Measure(
        food_id=keys[row["ndb_no"]],
        position=int(row["sequence"]),
        amount=Decimal(row["amount"]),
        name=row["measure"],
        grams=Decimal(row["weight_g"]),
    )


def build_names(row: Row, keys: dict[str, int]) -> Iterator[FoodName]:
    for language in LANGUAGES:
        for name in row[f"names_{language}"].split("|"):
            yield FoodName(language=language, name=name, food_id=keys[row["ndb_no"]])


def optional(text: str) -> Decimal | None:
    return Decimal(text) if text else None
