"""Foods, meals and bodies for tests, and how a client asks for them."""

import json
from typing import Any

from django.test import Client

from apps.nutrition.models import Food

ZERO = {"energy_kcal": 0, "protein_g": 0, "fat_g": 0, "carbohydrate_g": 0}
PIE = {
    "name": "Grandmother's pie",
    "grams": 120,
    "energy_kcal": 320,
    "protein_g": 6,
    "fat_g": 12,
    "carbohydrate_g": 46,
}
OWN = {name: value for name, value in PIE.items() if name != "grams"}
NOTHING, JSON = object(), "application/json"
BODY = {"sex": "female", "birth_year": 1990, "height_cm": 168}


def make_food(source_id: str = "x1", **fields: Any) -> Food:
    """A food of the table."""
    return Food.objects.create(
        source_id=source_id,
        group="Test",
        **{"name": "Rice", "energy_kcal": 130, "protein_g": "2.69", "fat_g": "0.28"}
        | {"carbohydrate_g": "28.17"}
        | fields,
    )


def send(client: Client, method: str, path: str, body: Any = NOTHING, **headers: str) -> Any:
    """What the API answers."""
    more = {} if body is NOTHING else {"data": json.dumps(body), "content_type": JSON}
    return getattr(client, method)(f"/api/v1/{path}", headers=headers, **more)


def ok(client: Client, method: str, path: str, body: Any = NOTHING, **headers: str) -> Any:
    """The body of an answer that is no error; None where it has none."""
    response = send(client, method, path, body, **headers)
    assert response.status_code in (200, 201, 204), response.content
    return response.json() if response.content else None


def write_meal(client: Client, *items: dict[str, Any], at: str = "2026-01-31T12:00+03:00") -> Any:
    """A meal that was written through the API."""
    return ok(client, "post", "diary/meals", {"eaten_at": at, "items": items or [PIE]})


def day_of(client: Client, date: str) -> Any:
    return ok(client, "get", f"diary/{date}")


def say_weight(client: Client, date: str, kg: float) -> None:
    ok(client, "put", f"profile/weights/{date}", {"kg": kg})
