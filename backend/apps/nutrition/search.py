"""Finding foods by what people type: whole words in any form, or their beginnings."""

import re
import unicodedata
from collections.abc import Sequence

from django.db.models import (
    BooleanField,
    Case,
    Exists,
    Expression,
    F,
    Func,
    IntegerField,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Length

from apps.accounts.models import User
from apps.nutrition.models import Favourite, Food, FoodName, folded

# Kinds of food that are made elsewhere: few mean them by a plain word.
NOT_EVERYDAY = ("Baby Foods", "Fast Foods", "Restaurant Foods")


def fold(text: str) -> str:
    """Words in lower case between single spaces, "ё" written "е", nothing else."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("ё", "е")
    return " ".join(re.findall(r"[^\W_]+", plain))


def search_foods(*, user: User, text: str, limit: int) -> list[Food]:
    """The foods meant by `text`, the likeliest first; of the table and the user's own.

    First the user's own; then foods of whose names it has whole words, not beginnings; then by
    the shortest name that it begins or is; then everyday foods; then the rest of the table, whose
    shortest names are its plainest foods. Two queries, with the foods' measures.
    """
    typed = fold(text)
    if not typed:
        return []
    forms, query = build_queries(typed.split())
    named = FoodName.objects.filter(food=OuterRef("pk"), name__startswith=typed)
    lengths = named.order_by().values("food").annotate(least=Min(Length("name")))
    what_people_say = Func(F("search"), template="ts_filter(%(expressions)s, '{a}')")
    everyday = ~Q(title_ru="")
    found = (
        seen_foods(user)
        .filter(matches(F("search"), query))
        .order_by(
            Case(When(owner=None, then=1), default=0),
            matches(what_people_say, forms).desc(),
            Subquery(lengths.values("least"), output_field=IntegerField()).asc(nulls_last=True),
            matches(what_people_say, query).desc(),
            Case(When(everyday, then=0), default=1),
            Case(When(group__in=NOT_EVERYDAY, then=1), default=0),
            Case(When(everyday, then=Length(folded("title_ru"))), default=Length("name")),
            "pk",
        )
    )
    return list(found[:limit])


def seen_foods(user: User) -> QuerySet[Food]:
    """What the user may see, with measures, and `favourite` on each."""
    favourite = Exists(Favourite.objects.filter(user=user, food=OuterRef("pk")))
    return Food.objects.seen_by(user).annotate(favourite=favourite).prefetch_related("measures")


def matches(vector: Expression | F, query: Expression) -> Expression:
    return Func(
        vector, query, arg_joiner=" @@ ", template="(%(expressions)s)", output_field=BooleanField()
    )


def build_queries(words: Sequence[str]) -> tuple[Func, Func]:
    """Two tsqueries: all words are there in some form; and the wider one, by which also the last
    may only begin one that is there, or each of them.

    The stemmer drops what it holds for no word ("with", "со"); of beginnings nothing is dropped.
    """
    forms = to_query("russian", words)
    all_but_last = to_query("russian", words[:-1])
    last = to_query("simple", [f"{words[-1]}:*"])
    beginnings = to_query("simple", [f"{word}:*" for word in words])
    last_begun = Func(all_but_last, last, arg_joiner=" && ", template="(%(expressions)s)")
    wider = Func(forms, last_begun, beginnings, arg_joiner=" || ", template="(%(expressions)s)")
    return forms, wider


def to_query(configuration: str, words: Sequence[str]) -> Func:
    return Func(
        Value(" & ".join(words)), template=f"to_tsquery('{configuration}', %(expressions)s)"
    )
