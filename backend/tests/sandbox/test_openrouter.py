"""OpenRouter's stand-in answers in its shape, and alike every time."""

import json

import httpx
import pytest

from tests.sandbox.requests import BEARER, COMPLETIONS, PICTURE, asking, complete, picture, plate


def test_same_request_gets_same_answer(client: httpx.Client) -> None:
    first, again = complete(client, "soup 300 g"), complete(client, "soup 300 g")
    other = complete(client, "soup 301 g")
    assert first.status_code == 200
    assert first.content == again.content
    assert first.json()["id"] != other.json()["id"]


def test_text_becomes_items(client: httpx.Client) -> None:
    answer = complete(client, "гречка 1,5 кг, chicken breast 150 g and tea и хлеб")
    found = plate(answer)
    assert found["is_food"] is True
    assert [(item["name"], item["grams"]) for item in found["items"]] == [
        ("гречка", 1500),
        ("chicken breast", 150),
        ("tea", 100),
        ("хлеб", 100),
    ]
    for item in found["items"]:
        energy = 4 * item["protein_g"] + 9 * item["fat_g"] + 4 * item["carbs_g"]
        assert item["kcal"] == pytest.approx(energy)
        assert 0 <= item["confidence"] <= 1


def test_usage_and_finish(client: httpx.Client) -> None:
    body = complete(client).json()
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["prompt_tokens"] > 0
    assert body["usage"]["completion_tokens"] > 0
    assert body["usage"]["cost"] > 0


def test_nothing_to_eat(client: httpx.Client) -> None:
    found = plate(complete(client, "42, 17"))
    assert found["is_food"] is False
    assert found["items"] == []


@pytest.mark.parametrize(
    ("words", "is_food", "items"), [("a table", False, 0), ("empty plate", True, 0)]
)
def test_words_order_an_answer_without_items(
    client: httpx.Client, words: str, is_food: bool, items: int
) -> None:
    for parts in ([words], [words, picture()]):
        found = plate(complete(client, *parts))
        assert (found["is_food"], len(found["items"])) == (is_food, items)
        assert found["notes"]


def test_words_order_an_unsure_answer(client: httpx.Client) -> None:
    for parts in (["soup in the dark"], ["in the dark", picture()]):
        items = plate(complete(client, *parts))["items"]
        assert items
        assert all(item["confidence"] < 0.5 for item in items)


def test_plate_of_a_picture_depends_on_its_bytes(client: httpx.Client) -> None:
    def dishes(data: bytes) -> str:
        return json.dumps(plate(complete(client, "What is it?", picture(data))))

    assert dishes(PICTURE) == dishes(PICTURE)
    assert len({dishes(bytes([number])) for number in range(20)}) > 1


def test_plain_string_as_content(client: httpx.Client) -> None:
    body = {"model": "some/model", "messages": [{"role": "user", "content": "tea 200 ml"}]}
    answer = client.post(COMPLETIONS, json=body, headers=BEARER)
    assert plate(answer)["items"][0]["name"] == "tea"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic abc"}])
def test_bearer_is_needed(client: httpx.Client, headers: dict[str, str]) -> None:
    answer = client.post(COMPLETIONS, json=asking("soup"), headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == 401


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"model": "some/model"}',
        b'{"model": "some/model", "messages": []}',
        b'{"messages": [{"role": "user", "content": "soup"}]}',
        json.dumps(asking({"type": "sound"})).encode(),
        json.dumps(
            asking({"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}})
        ).encode(),
    ],
)
def test_nonsense_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post(COMPLETIONS, content=body, headers=BEARER)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_other_addresses_and_methods(client: httpx.Client) -> None:
    assert client.get("/openrouter/api/v1/models").status_code == 404
    assert client.get(COMPLETIONS).status_code == 405
    assert client.get("/elsewhere").status_code == 404
