"""What an amount of a food weighs: by its own household measures first, else by the usual."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from apps.ai.local_text import Quantity
from apps.nutrition.models import Food, Measure

GRAMS = {
    "mg": Decimal("0.001"),
    "g": Decimal(1),
    "kg": Decimal(1000),
    "oz": Decimal("28.35"),
    "lb": Decimal("453.6"),
}
# Spoons and cups are those of USDA's measures (21 CFR 101.9); the rest are tableware as sold:
# the faceted glass of 250 ml to its brim, a soup plate filled for eating, a 330 ml can. A
# handful is taken as a quarter of a cup, the measure USDA counts as an ounce of nuts.
MILLILITRES = {
    "ml": Decimal(1),
    "l": Decimal(1000),
    "fl oz": Decimal("29.57"),
    "cup": Decimal("236.59"),
    "tbsp": Decimal("14.79"),
    "tsp": Decimal("4.93"),
    "glass": Decimal(250),
    "mug": Decimal(300),
    "wineglass": Decimal(150),
    "shot": Decimal(50),
    "bowl": Decimal(300),
    "plate": Decimal(300),
    "handful": Decimal(60),
    "pinch": Decimal("0.5"),
    "scoop": Decimal(60),
    "can": Decimal(330),
    "bottle": Decimal(500),
}
# What such a unit weighs where neither the food's measures nor its usual weight say.
USUAL = {
    "slice": Decimal(25),
    "piece": Decimal(50),
    "serving": Decimal(150),
    "package": Decimal(100),
    "bar": Decimal(50),
    "leaf": Decimal(10),
    "stick": Decimal(30),
    "clove": Decimal(3),
    "fillet": Decimal(150),
}
SIZES = {"small": Decimal("0.75"), "medium": Decimal(1), "large": Decimal("1.25")}
PORTION = Decimal(100)
# Dairy that comes "with" something is poured over it or into it.
ADDITION = Decimal(50)
DAIRY = "Dairy and Egg Products"
# Berries and nuts are counted by ones and eaten by handfuls.
SMALL = Decimal(15)
BY_HANDFULS = frozenset(
    {"Fruits and Fruit Juices", "Nut and Seed Products", "Legumes and Legume Products"}
)
# Nobody counts to fifty: "гречка 200" is grams.
BARE_GRAMS = Decimal(50)

# How the first words of USDA's measures are read.
SPELLINGS = {
    "tablespoon": "tbsp",
    "tablespoons": "tbsp",
    "teaspoon": "tsp",
    "slices": "slice",
    "pieces": "piece",
    "unit": "piece",
    "portion": "serving",
    "packet": "package",
    "container": "package",
    "cloves": "clove",
}
DENSE = ("cup", "fl oz", "tbsp", "tsp")
# A measure that only restates a weight or a volume says nothing about one of the food.
NOT_COUNTED = frozenset({*DENSE, "oz", "lb", "cubic", "quart", "pint", "liter"})
# How sure the answer is, by how the weight was found.
WEIGHED = Decimal("0.95")
MEASURED = Decimal("0.90")
USUALLY = Decimal("0.80")
UNSAID = Decimal("0.60")
GUESSED = Decimal("0.40")


@dataclass(frozen=True)
class Weight:
    grams: Decimal
    confidence: Decimal


def weigh(
    food: Food, measures: Sequence[Measure], said: Quantity | None, *, addition: bool = False
) -> Weight:
    """The grams of what was said; of what was not said, the usual amount."""
    if said is None:
        return weigh_unsaid(food, measures, addition=addition)
    amount = Decimal(1) if said.amount is None else said.amount
    if said.unit:
        one = weigh_unit(food, measures, said.unit)
    elif said.size:
        one = weigh_size(food, measures, said.size)
    elif amount >= BARE_GRAMS:
        one = Weight(Decimal(1), USUALLY)
    else:
        one = weigh_one(food, measures)
    return Weight(amount * one.grams, one.confidence)


def weigh_unsaid(food: Food, measures: Sequence[Measure], *, addition: bool) -> Weight:
    if food.grams_each and food.grams_each < SMALL and food.group in BY_HANDFULS:
        one = weigh_unit(food, measures, "handful")
    else:
        one = weigh_one(food, measures)
    poured = addition and food.group == DAIRY
    grams = min(one.grams, ADDITION) if poured else one.grams
    return Weight(grams, min(one.confidence, UNSAID))


def weigh_one(food: Food, measures: Sequence[Measure]) -> Weight:
    if food.grams_each:
        return Weight(food.grams_each, USUALLY)
    counted = [measure for measure in measures if kind(measure) not in NOT_COUNTED]
    for measure in (counted or measures)[:1]:
        return Weight(each(measure), UNSAID)
    return Weight(PORTION, GUESSED)


def weigh_size(food: Food, measures: Sequence[Measure], size: str) -> Weight:
    for measure in measures:
        words = re.findall("[a-z]+", measure.name.lower().partition("(")[0])
        if size in words and "extra" not in words and words[0] not in NOT_COUNTED:
            return Weight(each(measure), MEASURED)
    one = weigh_one(food, measures)
    return Weight(one.grams * SIZES[size], min(one.confidence, UNSAID))


def weigh_unit(food: Food, measures: Sequence[Measure], unit: str) -> Weight:
    if unit == "oz" and any(kind(measure) == "fl oz" for measure in measures):
        unit = "fl oz"
    if unit in GRAMS:
        return Weight(GRAMS[unit], WEIGHED)
    if unit == "item" or (unit == "serving" and food.grams_each):
        return weigh_one(food, measures)
    for measure in measures:
        if kind(measure) == unit:
            return Weight(each(measure), MEASURED)
    if unit == "piece":
        return weigh_piece(food, measures)
    if unit in MILLILITRES:
        return weigh_volume(measures, MILLILITRES[unit])
    if food.grams_each and unit != "slice":
        return Weight(food.grams_each, UNSAID)
    return Weight(min(USUAL[unit], food.grams_each or USUAL[unit]), UNSAID)


def weigh_piece(food: Food, measures: Sequence[Measure]) -> Weight:
    """A piece of bread is a slice of it."""
    for measure in measures:
        if kind(measure) == "slice":
            return Weight(each(measure), MEASURED)
    return Weight(food.grams_each or USUAL["piece"], UNSAID)


def weigh_volume(measures: Sequence[Measure], millilitres: Decimal) -> Weight:
    """By the density that a cup or a spoon of the food shows, else that of water."""
    by_kind = {kind(measure): measure for measure in reversed(measures)}
    for unit in DENSE:
        if unit in by_kind:
            density = each(by_kind[unit]) / MILLILITRES[unit]
            # USDA rounds its measures: within a hundredth, a litre of it is a kilogram.
            if abs(density - 1) < Decimal("0.01"):
                density = Decimal(1)
            return Weight(millilitres * density, MEASURED)
    return Weight(millilitres, UNSAID)


def kind(measure: Measure) -> str:
    """The unit that a measure is of: "cup" of "cup, sliced"."""
    words = re.findall("[a-z]+", measure.name.lower().removeprefix("serving 1 "))
    if words[:2] == ["fl", "oz"]:
        return "fl oz"
    first = words[0] if words else ""
    return SPELLINGS.get(first, first)


def each(measure: Measure) -> Decimal:
    return Decimal(measure.grams / measure.amount)
