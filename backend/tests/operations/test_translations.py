"""Whatever is said to people has a Russian that is compiled and reaches them."""

import ast
import gettext
import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client

from tests.processes import BACKEND

LOCALE = BACKEND / "locale"
CATALOGUE = LOCALE / "ru/LC_MESSAGES/django.po"
FUNCTIONS = {"_", "gettext", "gettext_lazy", "gettext_noop", "pgettext", "ngettext"}
# One string a message is all that the code needs; whoever needs more teaches this test.
SIMPLE = {"_", "gettext", "gettext_lazy", "gettext_noop"}
HINT = f"cd {CATALOGUE.parent} && msgfmt -o django.mo django.po"


def name_of(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def said_in_code() -> Iterator[tuple[str, str]]:
    """Every text that the code marks for translation, and where."""
    for app in ("apps", "config"):
        for path in sorted((BACKEND / app).rglob("*.py")):
            where = str(path.relative_to(BACKEND))
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and name_of(call.func) in FUNCTIONS:
                    assert name_of(call.func) in SIMPLE, where
                    (text,) = call.args
                    assert isinstance(text, ast.Constant), f"{where}: not a literal"
                    yield str(text.value), where


def catalogue() -> dict[str, str]:
    """The .po file: `msgid` and `msgstr`, each in one or more quoted lines."""
    quoted = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
    source = CATALOGUE.read_text(encoding="utf-8")
    pairs = re.findall(rf"^msgid {quoted}^msgstr {quoted}", source, re.MULTILINE)
    assert len(pairs) == len(re.findall("^msgid", source, re.MULTILINE))
    # Adjacent string literals are Python's grammar too.
    texts = [tuple(ast.literal_eval(f"({part})") for part in pair) for pair in pairs]
    assert len(dict(texts)) == len(texts), "a text is there twice"
    return dict(texts)


def test_every_text_of_the_code_has_a_russian_and_no_other_has() -> None:
    said = dict(said_in_code())
    russian = catalogue()
    del russian[""]
    assert len(said) > 5
    assert {text: where for text, where in said.items() if not russian.get(text)} == {}
    assert russian.keys() - said.keys() == set()


def test_a_russian_text_is_russian_and_keeps_the_placeholders() -> None:
    for text, russian in catalogue().items():
        if text:
            assert re.search("[а-яё]", russian), text
            assert sorted(re.findall(r"%\(\w+\)s|\{\w*\}|%s", text)) == sorted(
                re.findall(r"%\(\w+\)s|\{\w*\}|%s", russian)
            )
            assert "fuzzy" not in CATALOGUE.read_text(encoding="utf-8")


def test_the_compiled_catalogue_says_the_same() -> None:
    assert LOCALE in settings.LOCALE_PATHS
    compiled = gettext.translation("django", LOCALE, ["ru"])
    for text, russian in catalogue().items():
        assert compiled.gettext(text) == russian, HINT


def test_the_image_has_the_catalogue() -> None:
    source = (BACKEND / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^COPY backend/locale locale$", source, re.MULTILINE)


@pytest.mark.parametrize(
    ("language", "title"),
    [
        *(("", "Пожалуйста, войдите"), ("ru-RU,en;q=0.5", "Пожалуйста, войдите")),
        *(("en", "Please log in"), ("en-GB,ru;q=0.5", "Please log in")),
        *(("de", "Пожалуйста, войдите"), ("nonsense;;", "Пожалуйста, войдите")),
    ],
)
def test_people_read_russian_unless_they_ask_for_english(
    client: Client, language: str, title: str
) -> None:
    headers = {"Accept-Language": language} if language else {}
    response = client.get("/api/v1/diary/2026-01-01", headers=headers)
    assert response.json()["title"] == title
    assert response.headers["Content-Language"] == title_language(title)


def title_language(title: str) -> str:
    return "en" if title.isascii() else "ru"
