"""Asking what is on the plate: accepted at once, done by a worker, looked at until it is done."""

import base64
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from django.test import Client

from apps.accounts.models import User
from apps.ai.models import TEXT_LIMIT, Recognition
from apps.ai.schemas import ErrorOut
from apps.jobs.broker import listen_again
from apps.nutrition.foods import load_foods
from sandbox.embedded import Redis
from tests.ai.asking import TEXT, URL, accept, ask, asked, failed, look, recognized
from tests.http import client_of, make_user, problem
from tests.processes import StartWorker, wait_for

pytestmark = pytest.mark.django_db

PORTION = {"name", "grams", "energy_kcal", "protein_g", "fat_g", "carbohydrate_g", "doubtful"}
OF_ONE = [("GET", ""), ("POST", "/accept"), ("POST", "/cancel"), ("PUT", "/items")]
CORRECTION = '{"items": [{"item_id": 1}]}'


def waiting(pk: UUID, status: str = "pending") -> dict[str, Any]:
    """What is shown of a recognition that has not ended."""
    nothing = {"outcome": None, "message": "", "actions": [], "notes": "", "items": []}
    more = {"corrected": False, "photos": [], "meal_id": None, "error": None}
    return {"id": str(pk), "status": status, **nothing, **more}


def doorbell(server: Redis) -> list[dict[str, Any]]:
    """The messages that wait in queue `ai`."""
    return [json.loads(message) for message in redis.Redis(port=server.port).lrange("ai", 0, -1)]


def test_a_text_is_accepted_and_a_worker_is_rung(
    user: User, eater: Client, redis_server: Redis, django_capture_on_commit_callbacks: Any
) -> None:
    listen_again()
    with django_capture_on_commit_callbacks(execute=True):
        response = ask(eater)
        assert doorbell(redis_server) == [], "before the row is there to be seen"
    row = Recognition.objects.get()
    assert response.status_code == 202
    assert response.json() == waiting(row.pk)
    assert response.headers["Location"] == f"{URL}/{row.pk}"
    assert response.headers["Retry-After"] == "1"
    assert (row.user, row.text, row.status, row.attempts) == (user, TEXT, "pending", 0)
    (message,) = doorbell(redis_server)
    assert message["headers"]["task"] == "apps.ai.tasks.recognize"
    assert json.loads(base64.b64decode(message["body"]))[0] == [str(row.pk)]


@pytest.mark.parametrize(
    ("text", "kept"), [("  рис \n", "рис"), ("я" * TEXT_LIMIT, "я" * TEXT_LIMIT), ("🍎", "🍎")]
)
def test_a_text_is_kept_without_the_space_around_it(eater: Client, text: str, kept: str) -> None:
    assert ask(eater, text).status_code == 202
    assert Recognition.objects.get().text == kept


@pytest.mark.parametrize(
    ("language", "kept"), [("", "ru"), ("en", "en"), ("en-GB,en;q=0.9", "en"), ("de", "ru")]
)
def test_the_language_asked_for_is_kept(eater: Client, language: str, kept: str) -> None:
    ask(eater, TEXT, **({"Accept-Language": language} if language else {}))
    assert Recognition.objects.get().language == kept


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        ('{"text": ""}', "application/json", 422, "invalid_request"),
        ('{"text": " \\t\\n "}', "application/json", 422, "invalid_request"),
        ('{"text": "ri\\u0000ce"}', "application/json", 422, "invalid_request"),
        ('{"text": "\\u0000"}', "application/json", 422, "invalid_request"),
        ('{"text": "\\ud800"}', "application/json", 422, "invalid_request"),
        (json.dumps({"text": "a" * 2001}), "application/json", 422, "invalid_request"),
        (json.dumps({"text": "a" * 1_000_000}), "application/json", 422, "invalid_request"),
        ('{"text": 1}', "application/json", 422, "invalid_request"),
        ('{"text": null}', "application/json", 422, "invalid_request"),
        ('{"text": ["rice"]}', "application/json", 422, "invalid_request"),
        ('{"words": "rice"}', "application/json", 422, "invalid_request"),
        ("[]", "application/json", 422, "invalid_request"),
        ("null", "application/json", 422, "invalid_request"),
        ("", "application/json", 422, "invalid_request"),
        ("rice", "application/json", 400, "malformed_json"),
        ('{"text": "rice"', "application/json", 400, "malformed_json"),
        (b'{"text": "\xff"}', "application/json", 400, "malformed_json"),
        ("[" * 100_000, "application/json", 400, "malformed_json"),
        ('{"text": "rice"}', "text/plain", 415, "unsupported_media_type"),
        ('{"text": "rice"}', "", 415, "unsupported_media_type"),
        ("text=rice", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ('{"text": "' + "a" * 3_000_000 + '"}', "application/json", 413, "request_too_big"),
    ],
)
def test_what_cannot_be_read_is_refused_and_nothing_written(
    eater: Client,
    redis_server: Redis,
    django_capture_on_commit_callbacks: Any,
    body: str | bytes,
    content_type: str,
    status: int,
    code: str,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        problem(eater.post(URL, body, content_type=content_type), status, code)
    assert not Recognition.objects.exists()
    assert doorbell(redis_server) == []


def test_what_waits_says_when_to_look_again(eater: Client) -> None:
    pk = asked(eater)
    for status in ("pending", "running"):
        Recognition.objects.update(status=status)
        response = look(eater, pk)
        assert response.headers["Retry-After"] == "1"
        assert response.json() == waiting(pk, status)


@pytest.mark.usefixtures("foods")
def test_what_is_done_shows_its_portions(eater: Client) -> None:
    response = look(eater, recognized(eater))
    assert "Retry-After" not in response.headers
    body = response.json()
    assert (body["status"], body["error"], body["meal_id"]) == ("done", None, None)
    assert [item["name"] for item in body["items"]] == ["Яйцо вареное", "Рис вареный"]
    for item in body["items"]:
        assert set(item) == PORTION | {"id", "confidence"}
        assert all(type(item[name]) is float for name in PORTION - {"name", "doubtful"}), item
    rice = body["items"][1]
    assert (rice["grams"], rice["energy_kcal"]) == (150.0, 195.0)


@pytest.mark.parametrize(
    ("language", "title", "detail"),
    [
        ("", "Не удалось распознать еду", "Что-то пошло не так на нашей стороне."),
        ("en", "The meal was not recognised", "Something went wrong on our side."),
    ],
)
def test_what_failed_says_so_in_the_language_asked_for(
    eater: Client, language: str, title: str, detail: str
) -> None:
    pk = failed(eater)
    response = look(eater, pk, **({"Accept-Language": language} if language else {}))
    assert "Retry-After" not in response.headers
    body = response.json()
    assert (body["status"], body["items"]) == ("failed", [])
    assert set(body["error"]) == {*ErrorOut.model_fields}
    assert (body["error"]["code"], body["error"]["title"]) == ("worker_lost", title)
    assert body["error"]["detail"].startswith(detail)
    problem(accept(eater, pk), 409, "recognition_not_done")


def etag(client: Client, pk: UUID, **headers: str) -> str:
    return str(look(client, pk, **headers).headers["ETag"])


@pytest.mark.usefixtures("foods")
def test_the_etag_changes_when_the_answer_does(eater: Client) -> None:
    pk = asked(eater)
    seen = [etag(eater, pk)]
    for status in ("running", "failed"):
        Recognition.objects.update(status=status)
        seen.append(etag(eater, pk))
    seen.append(etag(eater, pk, **{"Accept-Language": "en"}))
    done = recognized(eater)
    seen.append(etag(eater, done))
    assert etag(eater, done) == seen[-1], "stable"
    accept(eater, done)
    seen.append(etag(eater, done))
    assert len(set(seen)) == len(seen)
    assert all(tag.startswith('"') and tag.endswith('"') for tag in seen)


@pytest.mark.parametrize(
    ("if_none_match", "status"),
    [
        *(("{}", 304), ("W/{}", 304), ('"other", {}', 304), ('"other",W/{} , "more"', 304)),
        *(("*", 304), ("", 200), ('"other"', 200), ("nonsense", 200), ('"{}"', 200)),
        *(('"x{bare}"', 200), ("{bare}", 200)),
    ],
)
def test_an_answer_that_is_known_is_not_sent_again(
    eater: Client, if_none_match: str, status: int
) -> None:
    pk = asked(eater)
    tag = etag(eater, pk)
    given = if_none_match.format(tag, bare=tag.strip('"'))
    response = look(eater, pk, **{"If-None-Match": given})
    assert response.status_code == status
    assert response.headers["ETag"] == tag
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Accept-Language"} <= set(response.headers["Vary"].split(", "))
    assert bool(response.content) is (status == 200)


@pytest.mark.parametrize(("method", "path"), OF_ONE)
def test_others_and_unknown_recognitions_are_not_there(
    eater: Client, method: str, path: str
) -> None:
    theirs = asked(client_of(make_user()))
    before = Recognition.objects.values().get()
    for unseen in (theirs, uuid4(), "nonsense", f"{theirs}"[:-1]):
        url = f"{URL}/{unseen}{path}"
        response = eater.generic(method, url, CORRECTION, content_type="application/json")
        problem(response, 404, "not_found")
    assert Recognition.objects.values().get() == before


@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), *((method, f"/x{path}") for method, path in OF_ONE)]
)
def test_who_is_not_logged_in_is_told_so(client: Client, method: str, path: str) -> None:
    url = URL + path.replace("x", str(uuid4()))
    body = '{"text": "rice"}'
    response = client.generic(method, url, body, content_type="application/json")
    problem(response, 401, "not_authenticated")
    assert not Recognition.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_worker_recognises_what_was_asked(eater: Client, start_worker: StartWorker) -> None:
    load_foods()
    listen_again()
    start_worker("ai")
    pk = asked(eater, "150 г риса")
    done = wait_for(
        lambda: body if (body := look(eater, pk).json())["status"] == "done" else None,
        "the recognition is done",
    )
    assert [item["energy_kcal"] for item in done["items"]] == [195.0]
    assert accept(eater, pk).status_code == 201
