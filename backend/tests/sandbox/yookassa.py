"""What the tests ask of YooKassa's stand-in."""

import uuid
from collections.abc import Mapping
from typing import Any

import httpx

API = "/yookassa/v3"
SHOP = ("100500", "test_very-secret")
RETURN_URL = "https://eatfit24.example/app/paid"


def wish(value: str = "100.00", **fields: Any) -> dict[str, Any]:
    """The body of a payment that a person confirms; None takes a field away."""
    body = {
        "amount": {"value": value, "currency": "RUB"},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": RETURN_URL},
        "description": "EatFit24, a month",
        "metadata": {"payment": "1"},
        **fields,
    }
    return {name: field for name, field in body.items() if field is not None}


def post(client: httpx.Client, path: str, body: Any, key: str | None = None) -> httpx.Response:
    headers = {"Idempotence-Key": key or str(uuid.uuid4())}
    return client.post(f"{API}{path}", json=body, headers=headers, auth=SHOP)


def get(client: httpx.Client, path: str, **query: str) -> httpx.Response:
    return client.get(f"{API}{path}", params=query, auth=SHOP)


def ok(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def invalid(response: httpx.Response, parameter: str = "", status: int = 400) -> None:
    code = {400: "invalid_request", 404: "not_found"}[status]
    body = response.json()
    assert (response.status_code, body["type"], body["code"]) == (status, "error", code), body
    assert body.get("parameter", "") == parameter


def create(client: httpx.Client, value: str = "100.00", **fields: Any) -> dict[str, Any]:
    return ok(post(client, "/payments", wish(value, **fields)))


def charge(client: httpx.Client, method: str, value: str = "100.00") -> dict[str, Any]:
    return create(client, value, payment_method_id=method, confirmation=None)


def refund(client: httpx.Client, payment: str, value: str) -> httpx.Response:
    body = {"payment_id": payment, "amount": {"value": value, "currency": "RUB"}}
    return post(client, "/refunds", body)


def direct(client: httpx.Client, path: str, **fields: Any) -> Any:
    """Tell the stand-in what is to happen; the answer's body, if there is one."""
    response = client.post(f"/yookassa/{path}", json=fields)
    assert response.status_code in (200, 204), response.text
    return response.json() if response.content else None


def paid(client: httpx.Client, value: str = "100.00", **fields: Any) -> dict[str, Any]:
    """A payment that a person has paid."""
    payment: dict[str, Any] = direct(client, f"_pay/{create(client, value, **fields)['id']}")
    return payment


def saved_method(client: httpx.Client) -> str:
    identifier: str = paid(client, save_payment_method=True)["payment_method"]["id"]
    return identifier


def books(client: httpx.Client) -> Mapping[str, Any]:
    return ok(client.get("/yookassa/_books"))
