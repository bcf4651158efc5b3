"""A model is asked over HTTP, and whatever it does, state, quota and cost are right after it."""

import json
import logging
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from pytest_django import Settings

from apps.ai.models import Circuit, ProviderCall, Recognition
from apps.ai.openrouter import SCHEMA
from apps.messaging.models import Message
from tests.ai.asking import URL, asked, attempt, look, settled, used
from tests.ai.conftest import KEY
from tests.ai.pictures import photo
from tests.sandbox.requests import log, order

pytestmark = pytest.mark.django_db

TEXT = "soup 300 g, bread 50 g"


def calls() -> list[tuple[str, str]]:
    """The model and the outcome of each call, in order."""
    return list(ProviderCall.objects.order_by("pk").values_list("model", "outcome"))


def pause(row: Recognition) -> float:
    """Seconds until the job is due."""
    left = Recognition.objects.annotate(left=F("run_after") - Now()).get(pk=row.pk).left
    return float(left.total_seconds())


def test_an_answer_is_kept_with_its_cost(eater: Client, model: httpx.Client) -> None:
    row = settled(asked(eater, TEXT))
    assert (row.status, row.provider, row.model) == ("done", "openrouter", "first/model")
    shown = look(eater, row.pk).json()
    assert [(item["name"], item["grams"]) for item in shown["items"]] == [
        ("soup", 300.0),
        ("bread", 50.0),
    ]
    assert (shown["outcome"], shown["message"], shown["error"]) == ("recognized", "", None)
    call = ProviderCall.objects.get()
    assert (call.recognition, call.model, call.outcome) == (row, "first/model", "answered")
    assert call.generation.startswith("gen-")
    assert call.prompt_tokens
    assert call.completion_tokens
    assert call.cost_usd == (
        call.prompt_tokens * Decimal("0.15e-6") + call.completion_tokens * Decimal("0.6e-6")
    ).quantize(Decimal("1e-8"))
    assert used(eater) == (0, 1)


def test_what_the_model_is_asked(eater: Client, model: httpx.Client) -> None:
    settled(asked(eater, TEXT))
    (entry,) = log(model, "openrouter")
    body = entry["body"]
    assert body["model"] == "first/model"
    assert body["response_format"]["json_schema"] == {
        "name": "plate",
        "strict": True,
        "schema": SCHEMA,
    }
    system, user = body["messages"]
    assert "in Russian" in system["content"]
    assert user["content"] == [{"type": "text", "text": TEXT}]


def test_photos_are_shown_to_the_model_all_at_once(eater: Client, model: httpx.Client) -> None:
    files = [SimpleUploadedFile("x", photo()), SimpleUploadedFile("y", photo("PNG"))]
    pk = eater.post(URL, {"photo": files, "text": "my lunch"}).json()["id"]
    row = settled(pk)
    assert (row.status, row.outcome) == ("done", "recognized")
    (entry,) = log(model, "openrouter")
    text, *pictures = entry["body"]["messages"][1]["content"]
    assert text == {"type": "text", "text": "my lunch"}
    shown = [(part["image_url"]["url"]["sha256"]) for part in pictures]
    assert shown == list(row.photos.values_list("sha256", flat=True))
    for file in files:
        file.seek(0)
    body = eater.post(URL, {"photo": files, "text": "my lunch"}).json()
    assert (body["status"], len(body["photos"])) == ("done", 2), "the same pictures are known"
    assert used(eater) == (0, 1)
    assert len(log(model, "openrouter")) == 1


UNAVAILABLE = [
    ("status", {"status": 500}, "provider_error"),
    ("status", {"status": 408}, "provider_error"),
    ("status", {"status": 503}, "provider_error"),
    ("status", {"status": 502, "html": "<h1>Bad gateway</h1>"}, "provider_error"),
    ("status", {"status": 429}, "provider_busy"),
    ("error_in_200", {"code": 502}, "provider_error"),
    ("error_in_200", {"code": 429}, "provider_busy"),
    ("finish_error", {}, "provider_error"),
    ("reset", {}, "provider_unreachable"),
    ("timeout", {}, "provider_timeout"),
    ("latency", {"seconds": 30}, "provider_timeout"),
    ("drip", {"seconds": 0.05}, "provider_timeout"),
]
POOR = [
    ("cut_off", {}, "answer_cut_off"),
    ("wrong_schema", {}, "answer_invalid"),
]
FINAL = [
    ("status", {"status": 400}, "provider_rejected"),
    ("status", {"status": 404}, "provider_rejected"),
    ("status", {"status": 413}, "provider_rejected"),
    ("status", {"status": 401}, "provider_refused"),
    ("status", {"status": 403}, "provider_refused"),
    ("status", {"status": 402}, "provider_out_of_credit"),
    ("error_in_200", {"code": 402}, "provider_out_of_credit"),
    ("content_filter", {}, "content_filtered"),
]


def hurry(kind: str, settings: Settings) -> None:
    if kind in ("timeout", "latency", "drip"):
        settings.AI_TIMEOUT_SECONDS = 0.4


@pytest.mark.parametrize(("kind", "more", "code"), UNAVAILABLE + POOR)
def test_what_may_pass_is_tried_again(
    eater: Client,
    model: httpx.Client,
    settings: Settings,
    kind: str,
    more: dict[str, Any],
    code: str,
) -> None:
    hurry(kind, settings)
    order(model, kind, **more)
    pk = asked(eater, TEXT)
    row = attempt(pk)
    assert (row.status, row.error_code, row.tries_left) == ("pending", code, 2)
    assert calls() == [("first/model", code)]
    assert used(eater) == (1, 0)
    assert Circuit.objects.filter(failures=1).exists() is ((kind, more, code) in UNAVAILABLE)
    settings.AI_TIMEOUT_SECONDS = 5
    row = attempt(pk)
    assert (row.status, row.error_code, row.items.count()) == ("done", "", 2)
    assert used(eater) == (0, 1)
    assert not Circuit.objects.filter(failures__gt=0).exists()
    paid = [call.cost_usd for call in ProviderCall.objects.order_by("pk")]
    assert len(paid) == 2
    assert paid[1]
    # What was generated is paid for, also where it was of no use.
    assert bool(paid[0]) is (kind in ("cut_off", "wrong_schema", "finish_error"))


@pytest.mark.parametrize(("kind", "more", "code"), FINAL)
def test_what_will_not_pass_fails_at_once(
    eater: Client, model: httpx.Client, kind: str, more: dict[str, Any], code: str
) -> None:
    order(model, kind, **more)
    row = attempt(asked(eater, TEXT))
    assert (row.status, row.error_code, row.items.count()) == ("failed", code, 0)
    assert calls() == [("first/model", code)]
    assert used(eater) == (0, 0)
    error = look(eater, row.pk, **{"Accept-Language": "en"}).json()["error"]
    assert error["code"] == code
    assert error["title"]
    assert error["detail"]
    assert error["actions"]
    assert not Circuit.objects.filter(failures__gt=0).exists()


def test_nobody_there_costs_a_try(eater: Client, model: httpx.Client, settings: Settings) -> None:
    settings.AI_URL = "http://127.0.0.1:9/nobody"
    row = attempt(asked(eater, TEXT))
    assert (row.status, row.error_code) == ("pending", "provider_unreachable")


def test_after_its_last_try_it_has_failed(eater: Client, model: httpx.Client) -> None:
    order(model, "status", status=500, times=3)
    row = settled(asked(eater, TEXT))
    assert (row.status, row.error_code, row.attempts) == ("failed", "provider_error", 3)
    assert len(calls()) == 3
    assert used(eater) == (0, 0)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_providers_wish_to_be_left_alone_is_heeded(
    eater: Client, model: httpx.Client, form: str
) -> None:
    at = datetime.now(UTC) + timedelta(seconds=90)
    wish = 90 if form == "seconds" else format_datetime(at, usegmt=True)
    order(model, "status", status=429, retry_after=wish)
    row = attempt(asked(eater, TEXT))
    assert (row.status, row.error_code) == ("pending", "provider_busy")
    assert 85 < pause(row) <= 91


def test_a_wish_beyond_anybodys_patience_fails_at_once(eater: Client, model: httpx.Client) -> None:
    order(model, "status", status=429, retry_after=3600)
    row = attempt(asked(eater, TEXT))
    assert (row.status, row.error_code) == ("failed", "provider_busy")
    assert used(eater) == (0, 0)


@pytest.mark.parametrize("nonsense", ["soon", "-5", "nan", "1e400", "32 Foo 2026"])
def test_a_wish_that_makes_no_sense_is_none(
    eater: Client, model: httpx.Client, nonsense: str
) -> None:
    order(model, "status", status=503, retry_after=nonsense)
    row = attempt(asked(eater, TEXT))
    assert row.status == "pending"
    assert 0 < pause(row) < 10


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("status", {"status": 500}),
        ("status", {"status": 429}),
        ("status", {"status": 404}),
        ("error_in_200", {"code": 502}),
        ("finish_error", {}),
        ("content_filter", {}),
        ("cut_off", {}),
        ("wrong_schema", {}),
        ("timeout", {}),
    ],
)
def test_another_model_is_asked_where_it_may_do_better(
    eater: Client,
    model: httpx.Client,
    settings: Settings,
    kind: str,
    more: dict[str, Any],
) -> None:
    settings.AI_FALLBACK_MODEL = "second/model"
    settings.AI_TIMEOUT_SECONDS = 2 if kind == "timeout" else 5
    order(model, kind, **more)
    row = attempt(asked(eater, TEXT))
    assert (row.status, row.model, row.attempts) == ("done", "second/model", 1)
    assert [name for name, _ in calls()] == ["first/model", "second/model"]
    assert used(eater) == (0, 1)


@pytest.mark.parametrize(
    ("kind", "more"), [("status", {"status": 402}), ("status", {"status": 401}), ("reset", {})]
)
def test_no_other_model_is_asked_where_none_can_answer(
    eater: Client, model: httpx.Client, settings: Settings, kind: str, more: dict[str, Any]
) -> None:
    settings.AI_FALLBACK_MODEL = "second/model"
    order(model, kind, **more)
    attempt(asked(eater, TEXT))
    assert len(log(model, "openrouter")) == 1


def test_a_fallback_that_is_misspelt_makes_nothing_final(
    eater: Client, model: httpx.Client, settings: Settings
) -> None:
    settings.AI_FALLBACK_MODEL = "mispelt/model"
    order(model, "status", status=500)
    order(model, "status", status=404)
    row = attempt(asked(eater, TEXT))
    assert (row.status, row.error_code) == ("pending", "provider_error")


@pytest.mark.parametrize("kind", ["timeout", "drip"])
def test_all_tries_together_end_in_time(
    eater: Client, model: httpx.Client, settings: Settings, kind: str
) -> None:
    settings.AI_FALLBACK_MODEL = "second/model"
    settings.AI_TIMEOUT_SECONDS = 1
    order(model, kind, times=2, **({"seconds": 0.05} if kind == "drip" else {}))
    pk = asked(eater, TEXT)
    started = time.monotonic()
    assert attempt(pk).error_code == "provider_timeout"
    assert time.monotonic() - started < 10, "an answer at this pace would take a minute"
    assert len(calls()) == 2


def plate(**changes: Any) -> str:
    item = {"name": "soup", "grams": 1, "kcal": 1, "protein_g": 0, "fat_g": 0, "carbs_g": 0}
    whole = {"is_food": True, "items": [item | {"confidence": 1}], "notes": ""}
    return json.dumps(whole | changes)


SOUND = json.loads(plate())["items"][0]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[]",
        "soup, about 300 kcal",
        "[" * 100_000,
        plate(items=None),
        plate(items=[{**SOUND, "grams": -1}]),
        plate(items=[{**SOUND, "grams": 1e9}]),
        plate(items=[{**SOUND, "kcal": "NaN"}]),
        plate(items=[{**SOUND, "kcal": float("inf")}]),
        plate(items=[{**SOUND, "confidence": 1.01}]),
        plate(items=[{**SOUND, "name": ""}]),
        plate(items=[SOUND] * 51),
        plate(notes=None),
        json.dumps({"is_food": True, "items": []}),
    ],
)
def test_an_answer_that_makes_no_sense_is_not_believed(
    eater: Client, model: httpx.Client, content: str
) -> None:
    order(model, "content", content=content)
    row = attempt(asked(eater, TEXT))
    assert (row.status, row.error_code, row.items.count()) == ("pending", "answer_invalid", 0)


@pytest.mark.parametrize(
    ("content", "name", "grams"),
    [
        (f"```json\n{plate()}\n```", "soup", 1.0),
        (plate(items=[{**SOUND, "name": "so\u0000up  of\nfish"}]), "soup of fish", 1.0),
        (plate(items=[{**SOUND, "name": "x" * 1000}]), "x" * 255, 1.0),
        (plate(items=[{**SOUND, "grams": 0.005}]), "soup", 0.01),
        (plate(items=[{**SOUND, "grams": 0.001}, SOUND]), "soup", 1.0),
        (plate(extra="ignored"), "soup", 1.0),
    ],
)
def test_an_answer_is_believed_as_far_as_it_makes_sense(
    eater: Client, model: httpx.Client, content: str, name: str, grams: float
) -> None:
    order(model, "content", content=content)
    row = attempt(asked(eater, TEXT))
    assert row.status == "done", row.last_error
    (item,) = look(eater, row.pk).json()["items"]
    assert (item["name"], item["grams"]) == (name, grams)


def test_an_answer_without_end_is_not_read_to_its_end(eater: Client, model: httpx.Client) -> None:
    order(model, "content", content="x" * 2_000_000)
    row = attempt(asked(eater, TEXT))
    assert (row.status, row.error_code) == ("pending", "answer_invalid")


@pytest.mark.parametrize(
    ("words", "outcome", "says", "items"),
    [
        ("a table", "not_food", "This is not food.", 0),
        ("empty plate", "nothing_to_count", "There is nothing I can count.", 0),
        ("soup in the dark", "unsure", "I am not sure.", 1),
    ],
)
def test_an_answer_that_is_no_meal_is_an_answer(
    eater: Client, model: httpx.Client, words: str, outcome: str, says: str, items: int
) -> None:
    row = settled(asked(eater, words))
    shown = look(eater, row.pk, **{"Accept-Language": "en"}).json()
    assert (shown["status"], shown["outcome"], shown["error"]) == ("done", outcome, None)
    assert shown["message"].startswith(says)
    assert len(shown["items"]) == items
    assert shown["actions"] == ["take_another_photo", "describe_in_words"]
    assert used(eater) == (0, 1), "delivered, so it counts"


def test_the_key_is_never_told(
    eater: Client, model: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    order(model, "status", status=401)
    order(model, "reset")
    order(model, "wrong_schema")
    for words in ("soup", "bread", "tea"):
        row = attempt(asked(eater, words))
        assert KEY not in row.last_error
    assert log(model, "openrouter"), "it was asked"
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("status", "says"), [(402, "out of credit: 127.0.0.1"), (401, "refuses our key: 127.0.0.1")]
)
def test_the_operator_is_told_once_of_a_provider_that_turns_us_away(
    eater: Client, model: httpx.Client, settings: Settings, status: int, says: str
) -> None:
    settings.ADMIN_CHAT_IDS = [77]
    order(model, "status", status=status, times=3)
    for words in ("soup", "bread", "tea"):
        attempt(asked(eater, words))
    message = Message.objects.get()
    assert message.chat_id == 77
    assert says in message.text
