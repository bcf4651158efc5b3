"""Recognition without a network: foods named in text, found in the table of foods."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal

from django.db.models import CharField, F, Func, Q, Value
from django.db.models.functions import Concat, Length, Lower

from apps.ai.local_text import Phrase, read
from apps.ai.local_tokens import candidates, tokenize
from apps.ai.local_weights import Weight, weigh
from apps.ai.providers import Answer, Call, Item
from apps.jobs.errors import Permanent
from apps.nutrition.models import NUTRIENTS, Food, FoodName, Measure
from apps.nutrition.search import NOT_EVERYDAY

CENT = Decimal("0.01")
# More than this of one food is a slip of the finger, as is nothing of it.
MAX_GRAMS = Decimal(10_000)
MAX_ITEMS = 50
MAX_RUNS = 300
MAX_WORDS = 10
# A heading of the table that stands over more rows than this ("Snacks") names no food.
MAX_ROWS = 30
# A food found by the table's own heading may be another kind of it than was eaten.
BY_HEADING = Decimal("0.7")
NOTES = {
    "unknown": {"en": "Not recognised: {words}.", "ru": "Не распознано: {words}."},
    "amount": {
        "en": "The amount makes no sense: {words}.",
        "ru": "Количество не похоже на правду: {words}.",
    },
}


class LocalProvider:
    """Reads text in Russian and English alike; it cannot see pictures.

    `language` decides only in which language foods are titled and notes written.
    """

    name = "local"

    def recognize(
        self,
        *,
        text: str,
        language: str,
        pictures: Sequence[bytes] = (),
        note_call: Callable[[Call], None] = lambda call: None,
    ) -> Answer:
        """Three queries at most, whatever the text. Pictures are refused for good."""
        if pictures:
            raise Permanent("pictures_not_supported", "the local provider cannot see pictures")
        language = "en" if language.startswith("en") else "ru"
        tokens = tokenize(text)
        foods = find_foods(candidates(tokens))
        reading = read(tokens, foods)
        headed: dict[str, Food] = {}
        if unknown := {word for word in reading.unknown if word.isascii()}:
            runs = sorted(run for run in candidates(tokens) if unknown & {*run.split()})
            headed = find_headings(runs[:MAX_RUNS])
            reading = read(tokens, foods | headed) if headed else reading
        foods |= headed
        phrases = reading.phrases[:MAX_ITEMS]
        measures = find_measures(foods[phrase.name] for phrase in phrases)
        items: list[Item] = []
        refused: list[str] = []
        for phrase in phrases:
            food = foods[phrase.name]
            title = getattr(food, f"title_{language}") or food.name
            weight = weigh_phrase(phrase, food, measures.get(food.pk, ()), phrase.name in headed)
            if weight is None:
                refused.append(title)
            else:
                items.append(build_item(food, title, weight))
        notes = [note("unknown", language, reading.unknown), note("amount", language, refused)]
        return Answer(items=tuple(items), notes=" ".join(filter(None, notes)))


def find_foods(names: Iterable[str]) -> dict[str, Food]:
    """The foods that people call so, by that name."""
    rows = FoodName.objects.filter(name__in=set(names)).select_related("food")
    return {row.name: row.food for row in rows.order_by("language")}


def find_headings(names: Iterable[str]) -> dict[str, Food]:
    """The plainest row of the table under each heading: "jicama", or "lima beans".

    Rows read "Cheese, gouda, …": the heading alone, or the second word before it.
    """
    spelled = {spelling: name for name in names for spelling in spellings(name)}
    heading, kind = (
        Func(F("name"), Value(", "), Value(part), function="split_part", output_field=CharField())
        for part in (1, 2)
    )
    rows = (
        Food.objects.of_table()
        .exclude(group__in=NOT_EVERYDAY)
        .annotate(heading=Lower(heading), kind=Lower(Concat(kind, Value(" "), heading)))
        .filter(Q(heading__in=spelled) | Q(kind__in=spelled))
        .order_by(Length("name"), "source_id")
    )
    found: dict[str, Food] = {}
    count: Counter[str] = Counter()
    for food in rows:
        for called in (food.heading, food.kind):
            if called in spelled:
                found.setdefault(spelled[called], food)
                count[spelled[called]] += 1
    return {name: food for name, food in found.items() if count[name] <= MAX_ROWS}


def spellings(name: str) -> tuple[str, ...]:
    return (name, f"{name}s", f"{name}es", name.removesuffix("s"))


def find_measures(foods: Iterable[Food]) -> Mapping[int, Sequence[Measure]]:
    measures: defaultdict[int, list[Measure]] = defaultdict(list)
    if keys := {food.pk for food in foods}:
        for measure in Measure.objects.filter(food__in=keys).order_by("food", "position"):
            measures[measure.food_id].append(measure)
    return measures


def weigh_phrase(
    phrase: Phrase, food: Food, measures: Sequence[Measure], by_heading: bool
) -> Weight | None:
    """None where nobody can have eaten so much, or so little."""
    weight = weigh(food, measures, phrase.quantity, addition=phrase.addition)
    if weight.grams > MAX_GRAMS or weight.grams < CENT:
        return None
    confidence = weight.confidence * (BY_HEADING if by_heading else 1)
    return Weight(round_to_cents(weight.grams), round_to_cents(confidence))


def build_item(food: Food, title: str, weight: Weight) -> Item:
    nutrients = {
        name: round_to_cents(getattr(food, name) * weight.grams / 100) for name in NUTRIENTS
    }
    return Item(name=title, grams=weight.grams, confidence=weight.confidence, **nutrients)


def round_to_cents(number: Decimal) -> Decimal:
    return number.quantize(CENT, ROUND_HALF_UP)


def note(kind: str, language: str, words: Iterable[str]) -> str:
    """A sentence that names the words, each once; empty without words."""
    named = list(dict.fromkeys(word[:40] for word in words))[:MAX_WORDS]
    return NOTES[kind][language].format(words=", ".join(named)) if named else ""
