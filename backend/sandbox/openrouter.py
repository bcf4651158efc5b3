"""OpenRouter's chat completions: the same request always gets the same plate.

Shapes follow https://openrouter.ai/docs/api-reference/chat-completion and
https://openrouter.ai/docs/api-reference/errors.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from sandbox.service import FaultKind, Parameter, Refused, Reply, Request, Route, Service, number

PLATES = (
    (("buckwheat", 180), ("chicken breast", 120), ("cucumber", 80)),
    (("borscht", 300), ("rye bread", 40), ("sour cream", 20)),
    (("oatmeal", 250), ("banana", 110)),
    (("omelette", 150), ("tomato", 90), ("cheese", 30)),
    (("salmon", 140), ("rice", 160), ("broccoli", 100)),
)
WORDS = {"not_food": "a table", "nothing_to_count": "empty plate", "unsure": "in the dark"}
TOKENS_OF_A_PICTURE = 258
DOLLARS_A_PROMPT_TOKEN = 0.15e-6
DOLLARS_A_COMPLETION_TOKEN = 0.6e-6
# The same request gets the same answer to the last byte, so no clock is read.
CREATED = 1_735_689_600

_PICTURE = re.compile(r"data:image/(?:png|jpeg|webp|gif);base64,(?P<data>.+)", re.DOTALL)
# A comma between two digits is a decimal one.
_SEPARATOR = re.compile(r"[;\n]|(?<!\d),|,(?!\d)|\s(?:and|и)\s", re.IGNORECASE)
_WEIGHT = re.compile(
    r"(?P<amount>\d+(?:[.,]\d+)?)\s*(?:(?P<thousand>kg|кг|l|л)|g|grams?|г|гр|грамм\w*|ml|мл)\b\.?",
    re.IGNORECASE,
)


TEXT = Parameter("a text", lambda value: isinstance(value, str), required=True)


def build_service() -> Service:
    return Service(
        name="openrouter",
        routes=(
            Route("POST", "/api/v1/chat/completions", _complete),
            Route("GET", "/api/v1/key", _show_key),
        ),
        faults={
            "error_in_200": FaultKind(_error_in_200, {"code": number(400, 599, whole=True)}),
            "finish_error": FaultKind(_finish_error),
            "content_filter": FaultKind(_content_filter),
            "content": FaultKind(_content, {"content": TEXT}),
            "cut_off": FaultKind(_cut_off),
            "wrong_schema": FaultKind(_wrong_schema),
        },
        error=_error,
    )


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message}}


def _check_key(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Refused(401, "No auth credentials found")


def _show_key(request: Request) -> Reply:
    _check_key(request)
    return Reply(body={"data": {"label": "sandbox", "limit": None, "usage": 0}})


def _complete(request: Request) -> Reply:
    _check_key(request)
    wish = request.json()
    model = wish.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "model is required")
    if wish.get("stream"):
        raise Refused(400, "the sandbox does not stream")
    texts, pictures = _read_messages(wish.get("messages"))
    plate = _ordered_plate(texts[-1], pictures)
    content = json.dumps(plate, ensure_ascii=False)
    prompt_tokens = sum(map(len, texts)) // 4 + TOKENS_OF_A_PICTURE * len(pictures)
    completion_tokens = len(content) // 4
    cost = prompt_tokens * DOLLARS_A_PROMPT_TOKEN + completion_tokens * DOLLARS_A_COMPLETION_TOKEN
    return Reply(
        body={
            "id": f"gen-{hashlib.sha256(request.body).hexdigest()[:24]}",
            "object": "chat.completion",
            "created": CREATED,
            "provider": "Sandbox",
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "native_finish_reason": "stop",
                    "message": {"role": "assistant", "content": content, "refusal": None},
                }
            ],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
                "cost": round(cost, 8),
            },
        }
    )


def _read_messages(messages: Any) -> tuple[list[str], list[bytes]]:
    """Texts of all messages, and the user's pictures."""
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "messages must be a list with something in it")
    texts: list[str] = []
    pictures: list[bytes] = []
    for message in messages:
        match message:
            case {"role": "system" | "assistant" | "user", "content": str() as text}:
                texts.append(text)
            case {"role": "system" | "assistant" | "user", "content": list() as parts}:
                for part in parts:
                    _read_part(part, texts, pictures)
            case _:
                raise Refused(400, "a message takes a role and its content: text, or parts")
    if not texts and not pictures:
        raise Refused(400, "messages hold neither text nor picture")
    return texts, pictures


def _read_part(part: Any, texts: list[str], pictures: list[bytes]) -> None:
    match part:
        case {"type": "text", "text": str() as text}:
            texts.append(text)
        case {"type": "image_url", "image_url": {"url": str() as url}}:
            pictures.append(_read_picture(url))
        case _:
            raise Refused(400, "a part is either a text or an image_url")


def _read_picture(url: str) -> bytes:
    found = _PICTURE.fullmatch(url)
    if found is None:
        raise Refused(400, "image_url must be a data URL of a png, jpeg, webp or gif")
    try:
        return base64.b64decode(found["data"], validate=True)
    except ValueError:
        raise Refused(400, "the picture is not valid base64") from None


def _ordered_plate(text: str, pictures: list[bytes]) -> dict[str, Any]:
    """What the picture or the text comes to. The words of WORDS in the text order an answer."""
    if WORDS["not_food"] in text:
        return _plate(())
    plate = _plate_of_picture(pictures[0]) if pictures else _plate_of_text(text)
    if WORDS["nothing_to_count"] in text:
        return plate | {"items": [], "notes": "There is nothing that I can count."}
    if WORDS["unsure"] in text:
        return plate | {"items": [item | {"confidence": 0.2} for item in plate["items"]]}
    return plate


def _plate_of_picture(picture: bytes) -> dict[str, Any]:
    return _plate(PLATES[hashlib.sha256(picture).digest()[0] % len(PLATES)])


def _plate_of_text(text: str) -> dict[str, Any]:
    parts = (_read_food(part) for part in _SEPARATOR.split(text))
    return _plate((name, grams) for name, grams in parts if re.search(r"[^\W\d_]", name))


def _read_food(text: str) -> tuple[str, float]:
    found = _WEIGHT.search(text)
    name = " ".join(_WEIGHT.sub(" ", text).split()).strip(" .:-")
    if found is None:
        return name, 100
    grams = float(found["amount"].replace(",", ".")) * (1000 if found["thousand"] else 1)
    return name, round(grams, 1)


def _plate(foods: Iterable[tuple[str, float]]) -> dict[str, Any]:
    items = [_item(name, grams) for name, grams in foods]
    return {
        "is_food": bool(items),
        "items": items,
        "notes": "" if items else "There is nothing to eat here.",
    }


def _item(name: str, grams: float) -> dict[str, Any]:
    """Macronutrients from a hash of the name, energy from the macronutrients."""
    seed = hashlib.sha256(name.lower().encode()).digest()
    protein, fat, carbs = (
        round(share * grams / 100, 1) for share in (1 + seed[0] % 29, seed[1] % 20, seed[2] % 50)
    )
    return {
        "name": name,
        "grams": grams,
        "kcal": round(4 * protein + 9 * fat + 4 * carbs, 1),
        "protein_g": protein,
        "fat_g": fat,
        "carbs_g": carbs,
        "confidence": round(0.5 + seed[3] % 50 / 100, 2),
    }


def _error_in_200(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    body = _error(parameters.get("code", 502), "Provider returned error")
    return replace(reply, status=200, body=body)


def _finish_error(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    return _with_content(reply, lambda content: "", "error")


def _content_filter(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    return _with_content(reply, lambda content: "", "content_filter")


def _content(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    return _with_content(reply, lambda content: parameters["content"], "stop")


def _cut_off(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    return _with_content(reply, lambda content: content[: len(content) // 2], "length")


def _wrong_schema(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    return _with_content(reply, lambda content: '{"dish": "soup", "calories": "many"}', "stop")


def _with_content(reply: Reply, change: Callable[[str], str], finish_reason: str) -> Reply:
    """The reply saying something else; one that says nothing, being an error, stays."""
    if reply.status != 200:
        return reply
    choice = reply.body["choices"][0]
    message = choice["message"] | {"content": change(choice["message"]["content"])}
    choice = choice | {
        "message": message,
        "finish_reason": finish_reason,
        "native_finish_reason": finish_reason,
    }
    return replace(reply, body=reply.body | {"choices": [choice]})
