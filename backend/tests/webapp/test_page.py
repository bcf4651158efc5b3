"""The page at /app: served to anybody, and nothing on it that a strict policy would stop."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.staticfiles import finders
from django.test import Client
from pytest_django import Settings

STATIC = Path(apps.get_app_config("webapp").path) / "static" / "webapp"


class Page(HTMLParser):
    """What the page refers to, what it says, and what is written into it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.texts: set[str] = set()
        self.inline: list[str] = []
        self.labels: set[str] = set()
        self.fields: set[str] = set()
        self._tag = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        for name, value in attrs:
            if name in ("src", "href", "data-texts", "action"):
                self.references.append(value or "")
            if name == "data-text":
                self.texts.add(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(name)
            if name == "for":
                self.labels.add(value or "")
            if name == "id" and tag in ("input", "textarea", "select"):
                self.fields.add(value or "")

    def handle_data(self, data: str) -> None:
        if self._tag in ("script", "style") and data.strip():
            self.inline.append(self._tag)


@pytest.fixture(params=[True, False], ids=["development", "production"])
def page(client: Client, settings: Settings, request: pytest.FixtureRequest) -> Page:
    settings.DEVELOPMENT_LOGIN = request.param
    answer = client.get("/app")
    assert answer.status_code == 200
    return Page(answer.content.decode())


def test_the_root_leads_to_the_page(client: Client) -> None:
    answer = client.get("/?lang=en")
    assert answer.status_code == 302
    assert answer["Location"] == "/app?lang=en"


def test_policy_allows_own_files_and_telegram_frames(client: Client) -> None:
    answer = client.get("/app")
    directives = answer["Content-Security-Policy"].split("; ")
    assert "default-src 'self'" in directives
    assert "frame-ancestors https://*.telegram.org" in directives
    assert "X-Frame-Options" not in answer


def test_nothing_is_inline(page: Page) -> None:
    assert page.inline == []


def test_refers_only_to_own_static_files(page: Page) -> None:
    assert page.references
    for reference in page.references:
        assert reference.startswith("/static/webapp/")
        assert finders.find(reference.removeprefix("/static/")), reference


def test_every_field_has_a_label(page: Page) -> None:
    assert page.fields <= page.labels


def test_login_without_telegram_is_for_development(client: Client, settings: Settings) -> None:
    for allowed in (True, False):
        settings.DEVELOPMENT_LOGIN = allowed
        assert ("telegram-id" in client.get("/app").content.decode()) is allowed


def test_texts_are_whole_in_both_languages(page: Page) -> None:
    source = (STATIC / "texts.js").read_text(encoding="utf-8")
    russian, english = (
        set(re.findall(r"^    (\w+):", part, re.MULTILINE)) for part in source.split("  en: {")
    )
    script = (STATIC / "app.js").read_text(encoding="utf-8")
    said = set(re.findall(r"""say\("(\w+)"\)""", script))
    assert russian == english
    assert page.texts | said <= russian
