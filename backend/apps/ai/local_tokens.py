"""Free text cut into words, numbers and breaks.

Every pattern is tried a bounded number of times at each character, so no text takes long.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from apps.ai.local_words import NUMBERS, UNITS

MAX_CHARACTERS = 2000
# The longest name of a food, in words.
MAX_NAME = 5

NUMBER = r"[0-9]+(?:[.,][0-9]+)?"
TOKEN = re.compile(
    rf"(?P<percent>{NUMBER}(?:[-–—]{NUMBER})?\s?%)"
    rf"|(?P<range>{NUMBER}\s?[-–—]\s?{NUMBER})"
    r"|(?P<fraction>[0-9]+\s?/\s?[1-9][0-9]*)"
    rf"|(?P<number>{NUMBER})"
    r"|(?P<times>[xх×*](?=\s?[0-9]))"
    r"|(?P<word>[^\W\d_]+(?:[-'][^\W\d_]+)*)"
    r"|(?P<stop>\.(?=\s|$))"
    r"|(?P<end>[,;\n+&])"
)
WRITTEN = str.maketrans(
    {
        "½": " 1/2",
        "⅓": " 1/3",
        "⅔": " 2/3",
        "¼": " 1/4",
        "¾": " 3/4",
        "⅛": " 1/8",
        "ё": "е",
        "’": "'",
    }
)
THOUSANDS = re.compile(r"\b([1-9][0-9]{0,2}),([0-9]{3})\b")
CYRILLIC = re.compile("[а-я]")
# A full stop after one of these ends no sentence: "2 ст. л. сахара".
ABBREVIATIONS = UNITS.keys() | {"ст", "ч", "с", "стол", "чайн"}


@dataclass(frozen=True)
class Token:
    kind: Literal["number", "times", "word", "end"]
    text: str
    value: Decimal = Decimal(0)


def tokenize(text: str) -> list[Token]:
    """The first 2,000 characters in tokens; percents ("молоко 2,5%") are no quantities."""
    text = text[:MAX_CHARACTERS].lower().translate(WRITTEN)
    if not CYRILLIC.search(text):
        # In Russian "1,250 кг" is a kilogram and a quarter.
        text = THOUSANDS.sub(r"\1\2", text)
    tokens: list[Token] = []
    for match in TOKEN.finditer(text):
        kind, found = match.lastgroup, match.group()
        if kind == "word":
            tokens.append(Token("word", found))
        elif kind == "times":
            tokens.append(Token("times", found))
        elif kind == "end" or (kind == "stop" and not (tokens and is_short(tokens[-1]))):
            tokens.append(Token("end", found))
        elif kind in ("number", "range", "fraction"):
            tokens.append(Token("number", found, parse_number(found)))
    return tokens


def parse_number(text: str) -> Decimal:
    """A number as written, with "." or ","; of a range the middle."""
    if "/" in text:
        above, below = text.split("/")
        return Decimal(above.strip()) / Decimal(below.strip())
    parts = [Decimal(part.replace(",", ".")) for part in re.split(r"\s?[-–—]\s?", text)]
    return sum(parts, Decimal(0)) / len(parts)


def spoken_number(word: str) -> Decimal | None:
    """A number in words; of "две-три" the middle."""
    if word in NUMBERS:
        return NUMBERS[word]
    first, _, second = word.partition("-")
    if first in NUMBERS and second in NUMBERS:
        return (NUMBERS[first] + NUMBERS[second]) / 2
    return None


def is_short(token: Token) -> bool:
    return token.kind == "word" and token.text in ABBREVIATIONS


def after_half(word: str) -> str:
    """What "пол-" halves: "стакана" of "полстакана"."""
    return word[3:].lstrip("-") if word.startswith("пол") else ""


def find_name(tokens: list[Token], start: int, names: Container[str]) -> tuple[str, int]:
    """The longest name that begins here, and how many tokens it takes."""
    for name, length in names_at(tokens, start):
        if name in names:
            return name, length
    return "", 0


def candidates(tokens: list[Token]) -> set[str]:
    """Every run of words that may be a name."""
    found = {name for start in range(len(tokens)) for name, _ in names_at(tokens, start)}
    return found | {rest for token in tokens if (rest := after_half(token.text))}


def names_at(tokens: list[Token], start: int) -> Iterator[tuple[str, int]]:
    """The runs of words that begin here, longest first."""
    run: list[str] = []
    for token in tokens[start : start + MAX_NAME]:
        if token.kind != "word":
            break
        run.append(token.text)
    for length in range(len(run), 0, -1):
        yield " ".join(run[:length]), length
        if length == 2 and CYRILLIC.search(run[0]):
            # Russian puts the adjective on either side: "хлеб черный".
            yield f"{run[1]} {run[0]}", length
