"""The local reader of text, by what real lines should come to."""

import csv
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.ai.local import MAX_GRAMS, MAX_ITEMS, LocalProvider
from apps.ai.local_text import read
from apps.ai.local_tokens import tokenize
from apps.ai.providers import Answer, Item
from apps.jobs.errors import Permanent
from apps.nutrition.models import NUTRIENTS, Food

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("foods")]

TEXTS = Path(__file__).with_name("local_texts.csv")
# The database outlives the examples of one test, and no example writes to it.
many = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
MOST_QUERIES = 3


def lines() -> Iterator[tuple[str, str]]:
    with TEXTS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["text"], row["expected"]


def recognize(text: str, language: str | None = None) -> Answer:
    russian = re.search("[а-яё]", text.lower()) is not None
    return LocalProvider().recognize(text=text, language=language or ("ru" if russian else "en"))


def summary(items: tuple[Item, ...]) -> str:
    return "; ".join(f"{item.name} {item.grams.normalize():f}" for item in items)


def grams(text: str) -> Decimal:
    (item,) = recognize(text).items
    return item.grams


@pytest.mark.parametrize(("text", "expected"), list(lines()))
def test_a_line_comes_to_its_foods_and_grams(text: str, expected: str) -> None:
    answer = recognize(text)
    assert summary(answer.items) == expected
    assert answer.notes == ""


def test_nutrients_are_those_of_the_grams() -> None:
    (item,) = recognize("rice 150 g").items
    food = Food.objects.get(source_id="20045")
    assert item.energy_kcal == Decimal("195.00") == food.energy_kcal * item.grams / 100
    assert item.protein_g == Decimal("4.04")  # 2.69 × 1.5 = 4.035, half up


def test_language_decides_titles_and_notes_only() -> None:
    russian, english = recognize("2 яйца и зюзя", "ru"), recognize("2 яйца и зюзя", "en")
    assert russian.items[0].name == "Яйцо вареное"
    assert english.items[0].name == "Boiled egg"
    assert english.items[0].grams == russian.items[0].grams
    assert russian.notes == "Не распознано: зюзя."
    assert english.notes == "Not recognised: зюзя."


@pytest.mark.parametrize("text", ["зюзя", "", "   ", "12345", "🙂", "!!! ... ---", "200 г"])
def test_nothing_to_count_is_no_items(text: str) -> None:
    assert recognize(text).items == ()


@pytest.mark.parametrize(
    "text",
    ["0 eggs", "0 г риса", "1000000 г риса", "100500 eggs", "99 kg of rice", "0.0001 g rice"],
)
def test_an_amount_that_makes_no_sense_is_refused_and_named(text: str) -> None:
    answer = recognize(text)
    assert answer.items == ()
    assert "amount" in answer.notes or "Количество" in answer.notes


def test_a_quantity_beside_an_unknown_word_is_not_given_to_another_food() -> None:
    answer = recognize("кофе, 3 зюзи")
    assert summary(answer.items) == "Кофе 240"


def test_a_stated_weight_is_surer_than_a_count_and_that_than_nothing_said() -> None:
    weighed, counted, unsaid = (
        recognize(text).items[0].confidence for text in ("banana 118 g", "1 banana", "banana")
    )
    assert weighed > counted > unsaid


def test_a_food_without_an_everyday_name_is_found_by_its_heading_and_less_sure() -> None:
    (item,) = recognize("jicama root and rutabagas 100 g").items
    assert item.name.startswith("Rutabagas")
    assert item.grams == 100
    assert item.confidence < Decimal("0.7")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("peanut butter", "Peanut butter"),
        ("rice cake", "Rice cake"),
        ("куриная грудка", "Куриная грудка"),
        ("грудка куриная", "Куриная грудка"),
        ("яблочный сок", "Яблочный сок"),
    ],
)
def test_the_longest_name_wins(text: str, name: str) -> None:
    assert [item.name for item in recognize(text).items] == [name]


@pytest.mark.parametrize(
    "text",
    [
        "яйцо " * 2000,
        "a" * 100_000,
        "1" * 100_000 + " g rice",
        "1-" * 50_000,
        "1 x " * 1000 + "5 rice",
        "пол" * 10_000,
        "и с и с " * 500,
        " ".join(f"w{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}" for n in range(600)),
        "\x00\ud7ff\uffff яйцо",
        "'; DROP TABLE nutrition_food; --",
        "%s %(name)s {} {0} \\",
    ],
)
def test_hostile_text_is_bounded(text: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        answer = recognize(text)
    assert len(queries) <= MOST_QUERIES
    assert len(answer.items) <= MAX_ITEMS
    assert len(answer.notes) < 1000


def test_queries_do_not_grow_with_the_text() -> None:
    whole = ", ".join(text for text, _ in lines())
    with CaptureQueriesContext(connection) as queries:
        assert len(recognize(whole + " rutabagas").items) > 20
    assert len(queries) <= MOST_QUERIES


PIECES = """
2 1/2 ½ 1,5 0 1e9 -3 99999999999 пол полтора сто dozen a an half г g кг ml л ст. л. cup
стакан кусок slice большое large яйца egg риса rice молоко milk хлеб черный с with и and , ; . -
без without на по each x × 5% шт зюзя sausages
"""


@many
@given(
    st.one_of(
        st.text(max_size=300), st.lists(st.sampled_from(PIECES.split()), max_size=40).map(" ".join)
    )
)
@example("по 2 на с без and ½ x 3")
def test_any_text_is_answered_with_sane_numbers(text: str) -> None:
    for item in recognize(text).items:
        assert 0 < item.grams <= MAX_GRAMS
        assert 0 < item.confidence <= 1
        for nutrient in NUTRIENTS:
            amount = getattr(item, nutrient)
            assert amount.is_finite()
            assert amount >= 0
            assert amount.as_tuple().exponent == -2
        assert item.name


@many
@given(
    count=st.integers(1, 20),
    food=st.sampled_from(
        ["eggs", "яиц", "slices of bread", "ст. л. сахара", "g rice", "мл кефира", "large apples"]
    ),
)
def test_doubling_the_quantity_doubles_the_grams(count: int, food: str) -> None:
    assert abs(grams(f"{2 * count} {food}") - 2 * grams(f"{count} {food}")) <= Decimal("0.01")


@many
@given(amount=st.decimals("0.5", "900", places=1), comma=st.booleans(), after=st.booleans())
def test_order_and_decimal_sign_do_not_matter(amount: Decimal, comma: bool, after: bool) -> None:
    number = str(amount).replace(".", ",") if comma else str(amount)
    assert grams(f"рис {number} г" if after else f"{number} г риса") == amount


def test_the_reader_knows_no_foods_but_those_it_is_told() -> None:
    tokens = tokenize("2 жужи и 3 зюзи")
    reading = read(tokens, {"жужи"})
    assert [phrase.name for phrase in reading.phrases] == ["жужи"]
    assert reading.unknown == ["зюзи"]


def test_it_says_plainly_that_it_cannot_see_pictures() -> None:
    with pytest.raises(Permanent, match="cannot see pictures") as caught:
        LocalProvider().recognize(text="", language="en", pictures=[b"\xff\xd8"])
    assert caught.value.code == "pictures_not_supported"


@pytest.mark.django_db
@pytest.mark.usefixtures("foods")
@pytest.mark.parametrize("text", ["9" * 29 + " hundred fifty eggs", "thousand " * 200 + "eggs"])
def test_a_number_beyond_all_plates_is_no_fault(text: str) -> None:
    assert LocalProvider().recognize(text=text, language="en").items == ()
