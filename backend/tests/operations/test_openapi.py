"""The API's description of itself: whole, true, and readable without the internet."""

import re
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from jsonschema_rs import Draft202012Validator
from ninja.openapi.schema import OpenAPISchema

from apps.billing.plans import ensure_catalogue
from config.api import api
from tests.http import client_of, make_user

PREFIX = "/api/v1"
PHOTO = "/recognitions/{recognition_id}/photos/{number}"
ROUTES = {
    ("POST", "/auth/telegram"),
    ("POST", "/auth/refresh"),
    ("POST", "/auth/logout"),
    ("GET", "/profile"),
    ("PATCH", "/profile"),
    ("GET", "/profile/weights"),
    ("PUT", "/profile/weights/{date}"),
    ("DELETE", "/profile/weights/{date}"),
    ("DELETE", "/account"),
    ("POST", "/account/export"),
    ("GET", "/account/export"),
    ("GET", "/account/export/file"),
    ("POST", "/recognitions"),
    ("GET", "/recognitions/{recognition_id}"),
    ("GET", PHOTO),
    ("POST", "/recognitions/{recognition_id}/accept"),
    ("POST", "/recognitions/{recognition_id}/cancel"),
    ("PUT", "/recognitions/{recognition_id}/items"),
    ("GET", "/quota"),
    ("GET", "/foods"),
    ("POST", "/foods"),
    ("GET", "/foods/own"),
    ("GET", "/foods/recent"),
    ("GET", "/foods/favourites"),
    ("GET", "/foods/{food_id}"),
    ("PUT", "/foods/{food_id}"),
    ("DELETE", "/foods/{food_id}"),
    ("PUT", "/foods/{food_id}/favourite"),
    ("DELETE", "/foods/{food_id}/favourite"),
    ("POST", "/diary/meals"),
    ("GET", "/diary/meals/{meal_id}"),
    ("PATCH", "/diary/meals/{meal_id}"),
    ("DELETE", "/diary/meals/{meal_id}"),
    ("POST", "/diary/meals/{meal_id}/copy"),
    ("POST", "/diary/meals/{meal_id}/items"),
    ("PATCH", "/diary/meals/{meal_id}/items/{item_id}"),
    ("DELETE", "/diary/meals/{meal_id}/items/{item_id}"),
    ("GET", "/diary/{date}"),
    ("GET", "/targets"),
    ("PUT", "/targets"),
    ("DELETE", "/targets"),
    ("GET", "/statistics"),
    ("GET", "/billing/plans"),
    ("GET", "/billing/subscription"),
    ("POST", "/billing/subscription/cancel"),
    ("POST", "/billing/subscription/resume"),
    ("PUT", "/billing/subscription/renewal"),
    ("PUT", "/billing/subscription/next-plan"),
    ("POST", "/billing/checkout"),
    ("GET", "/billing/method"),
    ("POST", "/billing/method"),
    ("DELETE", "/billing/method"),
    ("GET", "/billing/payments"),
    ("GET", "/billing/payments/{payment_id}"),
    ("POST", "/billing/payments/{payment_id}/check"),
    ("GET", "/health/"),
}
OPEN = {
    ("POST", "/auth/telegram"),
    ("POST", "/auth/refresh"),
    ("GET", "/billing/plans"),
    ("GET", "/health/"),
}
FRAMEWORK = {"openapi-json", "openapi-view", "api-root"}
NO_BODY = {204, 304}


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    response = client.get(f"{PREFIX}/openapi.json")
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path.removeprefix(PREFIX)): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def declared(operation: dict[str, Any]) -> set[int]:
    return {int(status) for status in operation["responses"]}


def test_every_route_is_listed_and_says_what_it_is_for(document: dict[str, Any]) -> None:
    found = operations(document)
    assert set(found) == ROUTES
    summaries = [operation["summary"] for operation in found.values()]
    assert len(set(summaries)) == len(summaries)
    for (method, path), operation in found.items():
        # What the framework makes up from the function's name has every word capitalised.
        assert operation["summary"] != operation["summary"].title(), path
        assert operation["tags"], path
        assert operation["operationId"], (method, path)


def shown(content: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    """The examples of a body."""
    schema = content["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return [
        example
        for where in (content, schema)
        for example in [
            *where.get("examples", []),
            *([where["example"]] if "example" in where else []),
        ]
    ]


def test_every_operation_is_described_and_its_bodies_have_true_examples(
    document: dict[str, Any],
) -> None:
    for route, operation in operations(document).items():
        assert operation.get("summary", "").strip(), route
        assert operation.get("description", "").strip(), route
        bodies = {"asks": operation["requestBody"]} if "requestBody" in operation else {}
        for where, body in {**bodies, **operation["responses"]}.items():
            for kind, content in body.get("content", {}).items():
                if kind == "image/jpeg":
                    continue
                examples = shown(content, document)
                assert examples, (route, where, kind)
                whole = {**content["schema"], "components": document["components"]}
                for example in examples:
                    Draft202012Validator(whole, validate_formats=True).validate(example)


class Unambiguous(OpenAPISchema):
    """The framework lets the last of several schemas of one name stand for all of them."""

    def add_schema_definitions(self, definitions: dict[str, Any]) -> None:
        for name, schema in definitions.items():
            assert self.schemas.setdefault(name, schema) == schema, name


def test_no_two_schemas_have_one_name() -> None:
    assert Unambiguous(api, PREFIX)["components"]["schemas"]


def test_nothing_is_served_that_is_not_listed(document: dict[str, Any]) -> None:
    served = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", f"/{pattern.pattern}")
        for pattern in api.urls[0]
        if getattr(pattern, "name", None) not in FRAMEWORK
    }
    assert served == {path for _, path in operations(document)}


def test_who_needs_a_token_says_so_and_that_it_may_be_refused(document: dict[str, Any]) -> None:
    for route, operation in operations(document).items():
        assert bool(operation.get("security")) is (route not in OPEN), route
        if route not in OPEN:
            assert 401 in declared(operation), route
    schemes = document["components"]["securitySchemes"].values()
    assert {(scheme["type"], scheme["scheme"]) for scheme in schemes} == {
        ("http", "bearer"),
        ("http", "tma"),
    }


def test_every_body_has_a_schema(document: dict[str, Any]) -> None:
    for route, operation in operations(document).items():
        for status, response in operation["responses"].items():
            if int(status) in NO_BODY:
                assert "content" not in response, route
                continue
            ((kind, content),) = response["content"].items()
            if (route, status) == (("GET", PHOTO), "200"):
                assert content["schema"] == {"type": "string", "format": "binary"}
                continue
            name = content["schema"]["$ref"].rsplit("/", 1)[1]
            assert name in document["components"]["schemas"]
            assert (name == "ProblemOut") is (int(status) >= 400 and name != "HealthOut"), route
            assert (name == "ProblemOut") is (kind == "application/problem+json"), route


JSON = {"content_type": "application/json"}
UNKNOWN_FOOD = '{"items": [{"food_id": 4611686018427387904, "grams": 1}]}'
PIE = '{"name": "Pie", "energy_kcal": 267, "protein_g": 5, "fat_g": 10, "carbohydrate_g": 38}'
# A list where each route takes something else, for those that need no field at all.
NONSENSE = '{"return_url": [], "plan": [], "on": []}'
CORRECTION = {"data": '{"items": [{"item_id": 1}]}', **JSON}
ERRORS: list[tuple[tuple[str, str], int, dict[str, Any]]] = [
    *(
        (route, status, {"data": data, "content_type": kind})
        for route in (
            ("POST", "/auth/telegram"),
            ("POST", "/auth/refresh"),
            ("DELETE", "/account"),
            ("PATCH", "/profile"),
            ("PUT", "/profile/weights/{date}"),
            ("POST", "/recognitions"),
            ("PUT", "/recognitions/{recognition_id}/items"),
            ("POST", "/foods"),
            ("PUT", "/foods/{food_id}"),
            ("POST", "/diary/meals"),
            ("PATCH", "/diary/meals/{meal_id}"),
            ("POST", "/diary/meals/{meal_id}/copy"),
            ("POST", "/diary/meals/{meal_id}/items"),
            ("PATCH", "/diary/meals/{meal_id}/items/{item_id}"),
            ("PUT", "/targets"),
            ("POST", "/billing/checkout"),
            ("POST", "/billing/method"),
            ("PUT", "/billing/subscription/renewal"),
            ("PUT", "/billing/subscription/next-plan"),
        )
        for status, data, kind in [
            (400, "{", "application/json"),
            (413, "x" * 3_000_000, "application/json"),
            (415, "{}", "text/plain"),
            (422, NONSENSE if "/billing/" in route[1] else "[]", "application/json"),
        ]
    ),
    (("POST", "/auth/telegram"), 401, {"data": '{"init_data": ""}', **JSON}),
    (("POST", "/auth/refresh"), 401, {"data": '{"refresh_token": ""}', **JSON}),
    (("GET", "/account/export"), 404, {}),
    (("GET", "/account/export/file"), 404, {}),
    (("GET", "/profile/weights"), 422, {"query_params": {"first": "today"}}),
    (("DELETE", "/profile/weights/{date}"), 404, {}),
    (("DELETE", "/profile/weights/{date}"), 422, {}),
    (("GET", "/recognitions/{recognition_id}"), 404, {}),
    (("GET", PHOTO), 404, {}),
    (("POST", "/recognitions/{recognition_id}/accept"), 404, {}),
    (("POST", "/recognitions/{recognition_id}/accept"), 409, {}),
    (("POST", "/recognitions/{recognition_id}/cancel"), 404, {}),
    (("PUT", "/recognitions/{recognition_id}/items"), 404, CORRECTION),
    (("PUT", "/recognitions/{recognition_id}/items"), 409, CORRECTION),
    (("GET", "/diary/{date}"), 422, {}),
    (("GET", "/foods"), 422, {}),
    *(
        (("GET", f"/foods/{kept}"), 422, {"query_params": {"limit": 0}})
        for kept in ("own", "recent", "favourites")
    ),
    (("GET", "/targets"), 422, {"query_params": {"date": "today"}}),
    (("GET", "/statistics"), 422, {}),
    (("POST", "/diary/meals"), 404, {"data": UNKNOWN_FOOD, **JSON}),
    *(
        ((method, path), 404, {"data": data, **JSON})
        for method, path, data in [
            ("GET", "/foods/{food_id}", ""),
            ("PUT", "/foods/{food_id}", PIE),
            ("DELETE", "/foods/{food_id}", ""),
            ("PUT", "/foods/{food_id}/favourite", ""),
            ("DELETE", "/foods/{food_id}/favourite", ""),
            ("GET", "/diary/meals/{meal_id}", ""),
            ("PATCH", "/diary/meals/{meal_id}", '{"eaten_at": "2026-01-01T12:00Z"}'),
            ("DELETE", "/diary/meals/{meal_id}", ""),
            ("POST", "/diary/meals/{meal_id}/copy", '{"date": "2026-01-01"}'),
            ("POST", "/diary/meals/{meal_id}/items", '{"food_id": 1, "grams": 1}'),
            ("PATCH", "/diary/meals/{meal_id}/items/{item_id}", "{}"),
            ("DELETE", "/diary/meals/{meal_id}/items/{item_id}", ""),
        ]
    ),
    (("POST", "/billing/subscription/cancel"), 409, {}),
    (("POST", "/billing/subscription/resume"), 409, {}),
    (("PUT", "/billing/subscription/renewal"), 409, {"data": '{"on": true}', **JSON}),
    (("PUT", "/billing/subscription/next-plan"), 409, {"data": '{"plan": "month"}', **JSON}),
    (("GET", "/billing/payments/{payment_id}"), 404, {}),
    (("POST", "/billing/payments/{payment_id}/check"), 404, {}),
    (("POST", "/billing/checkout"), 503, {"data": '{"plan": "month"}', **JSON}),
    (("POST", "/billing/method"), 503, {"data": "{}", **JSON}),
]


def path_of(template: str, client: Client, status: int) -> str:
    """An address of the route at which the status can happen."""
    known = uuid4()
    if status == 409:
        asked = client.post(f"{PREFIX}/recognitions", {"text": "рис"}, "application/json")
        known = asked.json()["id"]
    day = "2026-01-01" if status == 404 else "today"
    none = {"food_id": 0, "meal_id": 0, "item_id": 0}
    ids = {"recognition_id": known, "payment_id": known, **none}
    ensure_catalogue()
    return PREFIX + template.format(date=day, number=1, **ids)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("route", "status", "sent"), ERRORS, ids=[f"{r[0]} {r[1]} {status}" for r, status, _ in ERRORS]
)
def test_an_error_that_happens_is_declared_and_has_the_shape_declared(
    document: dict[str, Any], route: tuple[str, str], status: int, sent: dict[str, Any]
) -> None:
    client = client_of(make_user())
    response = client.generic(route[0], path_of(route[1], client, status), **sent)
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    assert status in declared(operations(document)[route])
    required = document["components"]["schemas"]["ProblemOut"]["required"]
    assert {"status", "code", "title"} == set(required)
    assert set(required) <= set(response.json())


def test_every_declared_error_was_seen_to_happen(document: dict[str, Any]) -> None:
    seen = {(route, status) for route, status, _ in ERRORS}
    seen |= {(route, 401) for route in ROUTES - OPEN}  # tests/accounts/test_tokens.py
    seen |= {((method, path), 429) for method, path in ROUTES if method != "GET"}  # test_limits.py
    seen |= {(("POST", "/auth/telegram"), 409)}  # test_leaving.py
    seen |= {(("PUT", "/profile/weights/{date}"), 409)}  # test_profile.py
    seen |= {(("GET", "/health/"), 503)}  # test_health.py
    # tests/ai/test_photos.py and test_photo_keeping.py
    seen |= {(("GET", PHOTO), 410), (("GET", PHOTO), 503)}
    seen |= {(("POST", "/recognitions"), status) for status in (403, 429, 503)}  # test_quota.py
    seen |= {(("POST", "/recognitions/{recognition_id}/cancel"), 409)}  # test_quota.py
    # tests/nutrition/test_foods.py and test_meals.py
    seen |= {(("POST", "/foods"), 409), (("PUT", "/foods/{food_id}/favourite"), 409)}
    seen |= {(("POST", "/diary/meals/{meal_id}/items"), 409)}
    seen |= {(("POST", "/billing/checkout"), 409)}  # tests/billing/test_refusals.py
    assert {
        (route, status)
        for route, operation in operations(document).items()
        for status in declared(operation)
        if status >= 400
    } == seen


class References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_for_people_loads_nothing_from_elsewhere(client: Client) -> None:
    response = client.get(f"{PREFIX}/docs")
    assert response.status_code == 200
    html = response.content.decode()
    assert f"{PREFIX}/openapi.json" in html
    assert not re.search(r"(https?:)?//\w", html)
    references = References()
    references.feed(html)
    assert any(reference.endswith(".js") for reference in references.found)
    for reference in references.found:
        assert reference.startswith("/static/ninja/")
        assert finders.find(reference.removeprefix("/static/")), reference
