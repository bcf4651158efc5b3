"""Free text about food, read into phrases of quantity, unit and name.

Pure: which runs of words are names of foods is told by the caller.
"""

from collections.abc import Container
from dataclasses import dataclass, field, replace
from decimal import Decimal

from apps.ai.local_tokens import Token, after_half, find_name, spoken_number
from apps.ai.local_words import (
    AND,
    ARTICLES,
    EACH_AFTER,
    EACH_BEFORE,
    FILLER_ADJECTIVE,
    FILLER_PAIRS,
    FILLERS,
    HALF,
    MULTIPLIERS,
    ON,
    SIZES,
    SPOONS,
    UNITS,
    WITH,
    WITHOUT,
)

MOST = Decimal(10) ** 9


@dataclass
class Quantity:
    """How much. `amount` is None while no number was said; `each` is of one among several."""

    amount: Decimal | None = None
    unit: str = ""
    size: str = ""
    each: bool = False
    times: bool = False
    last_word: str = ""

    @property
    def is_open(self) -> bool:
        """Whether a number was said that may yet grow or get a unit."""
        return self.amount is not None and not self.unit

    def take(self, number: Decimal, word: str = "") -> bool:
        """Join a number to those before it; False when it begins another quantity."""
        if self.amount is None or self.last_word in ARTICLES:
            self.amount = number
        elif self.unit:
            return False
        elif self.times or word in MULTIPLIERS or self.amount < 1 <= number:
            self.amount *= number
        elif number < 1 <= self.amount or self.goes_on(number):
            self.amount += number
        else:
            return False
        # Far above what is refused, and far below where a Decimal loses its last digits.
        self.amount = min(self.amount, MOST)
        self.last_word = word
        self.times = False
        return True

    def goes_on(self, number: Decimal) -> bool:
        """Whether words continue a number, as in "сто пятьдесят"."""
        amount = self.amount or Decimal(0)
        return bool(self.last_word) and amount % 10 == 0 and number < amount


@dataclass
class Phrase:
    """A food named in the text. `addition` is what came with another: milk with coffee.

    `base` is what another was made on ("овсянка на молоке 250 г"): it takes no quantity.
    """

    name: str
    quantity: Quantity | None = None
    addition: bool = False
    base: bool = False

    def give(self, quantity: Quantity) -> None:
        """A unit beats a count ("2 яйца, 100 г"); "по 100 г" multiplies it."""
        said = self.quantity
        if said is None:
            self.quantity = quantity
        elif quantity.each:
            amount = (quantity.amount or Decimal(1)) * (said.amount or Decimal(1))
            self.quantity = replace(quantity, amount=amount, each=False)
        elif quantity.unit and not said.unit:
            self.quantity = quantity


@dataclass
class Reading:
    phrases: list[Phrase] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def read(tokens: list[Token], names: Container[str]) -> Reading:
    return Reader(tokens, names).read()


class Reader:
    """Walks the tokens once; commas and conjunctions cut them into segments."""

    def __init__(self, tokens: list[Token], names: Container[str]) -> None:
        self.tokens = list(tokens)
        self.names = names
        self.position = 0
        self.segment: list[Quantity | Phrase] = []
        self.addition = False
        self.each = False
        self.unknown = False
        self.reading = Reading()

    def read(self) -> Reading:
        while self.position < len(self.tokens):
            if name := self.take_name():
                self.segment.append(Phrase(name, addition=self.addition))
            else:
                token = self.tokens[self.position]
                self.position += 1
                self.read_token(token)
        self.close()
        return self.reading

    def take_name(self) -> str:
        name, length = find_name(self.tokens, self.position, self.names)
        self.position += length
        return name

    def read_token(self, token: Token) -> None:
        if token.kind == "word":
            self.read_word(token.text)
        elif token.kind == "number":
            self.add_number(token.value)
        elif token.kind == "times":
            self.quantity().times = True
        else:
            self.close()
            self.addition = False

    def read_word(self, word: str) -> None:
        if f"{word} {self.next_word()}" in FILLER_PAIRS:
            self.position += 1
            return
        unit = self.unit_at(word)
        number = spoken_number(word)
        rest = after_half(word)
        if unit:
            self.add_unit(unit, abbreviated=len(word) <= 2)
        elif number is not None:
            self.add_number(number, word)
        elif word in ARTICLES:
            if not self.quantity().is_open:
                self.add_number(Decimal(1), word)
        elif word in SIZES:
            self.quantity().size = SIZES[word]
        elif word in AND or word in WITH:
            if not (self.said_number() and self.fraction_follows()):
                self.close()
                self.addition = word in WITH or self.addition
        elif word in WITHOUT:
            self.take_name()
        elif word == ON:
            if name := self.take_name():
                self.segment.append(Phrase(name, addition=True, base=True))
        elif word == EACH_BEFORE:
            self.each = True
        elif word == EACH_AFTER:
            self.quantity().each = True
        elif rest in UNITS or rest in self.names:
            self.add_number(HALF, word)
            self.position -= 1
            self.tokens[self.position] = Token("word", rest)
        elif word not in FILLERS and not FILLER_ADJECTIVE.fullmatch(word):
            self.reading.unknown.append(word)
            self.unknown = True

    def unit_at(self, word: str) -> str:
        """The unit that the word is, or that it is with the next one: "ст. л."."""
        if unit := UNITS.get(f"{word} {self.next_word()}"):
            self.position += 1
            return unit
        return UNITS.get(word, "")

    def next_word(self) -> str:
        following = self.tokens[self.position : self.position + 1]
        return following[0].text if following and following[0].kind == "word" else ""

    def add_number(self, number: Decimal, word: str = "") -> None:
        if self.each or not self.quantity().take(number, word):
            self.segment.append(Quantity(amount=number, last_word=word, each=self.each))
        self.each = False

    def add_unit(self, unit: str, *, abbreviated: bool) -> None:
        """A cup is one cup; a stray "г" measures nothing."""
        if not self.said_number() and abbreviated:
            return
        if self.quantity().unit:
            self.segment.append(Quantity())
        self.quantity().unit = unit

    def quantity(self) -> Quantity:
        """The quantity being said, or a new one."""
        last = self.segment[-1] if self.segment else None
        if isinstance(last, Quantity):
            return last
        new = Quantity()
        self.segment.append(new)
        return new

    def said_number(self) -> bool:
        last = self.segment[-1] if self.segment else None
        return isinstance(last, Quantity) and last.is_open

    def fraction_follows(self) -> bool:
        """Whether "a half" comes next, as in "two and a half"."""
        following = self.tokens[self.position : self.position + 2]
        number = next((spoken_number(t.text) for t in following if t.text not in ARTICLES), None)
        return number is not None and number < 1

    def close(self) -> None:
        """Give each quantity its food: "200 г риса" looks ahead, "рис 200 г" looks back."""
        parts = [part for part in self.segment if not (isinstance(part, Phrase) and part.base)]
        foods = [part for part in parts if isinstance(part, Phrase)]
        looks_back = bool(foods) and parts[0] is foods[0]
        passed = 0
        for part in parts:
            if isinstance(part, Phrase):
                passed += 1
                continue
            before = foods[passed - 1] if passed else self.last_without(part)
            after = foods[passed] if passed < len(foods) else None
            # "Чай 2 ложки сахара": spoons are of what follows, unless that is measured itself.
            spooned = part.unit in SPOONS and after is not None and after is parts[-1]
            back_first = part.each or (
                looks_back and before and before.quantity is None and not spooned
            )
            chosen = (before or after) if back_first else (after or before)
            if chosen is not None:
                chosen.give(part)
        self.reading.phrases.extend(part for part in self.segment if isinstance(part, Phrase))
        self.segment.clear()
        self.each = self.unknown = False

    def last_without(self, quantity: Quantity) -> Phrase | None:
        """The food before this segment, when the quantity can be its: "гречка, 200 г".

        A quantity beside an unknown word is that word's.
        """
        if self.unknown:
            return None
        last = self.reading.phrases[-1] if self.reading.phrases else None
        return last if last and (last.quantity is None or quantity.each) else None
