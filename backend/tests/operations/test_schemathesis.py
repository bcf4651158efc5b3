"""Requests made up from the OpenAPI document, good ones and bad ones: what comes back must be as
the document says, what it forbids is refused, and what it allows is taken."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import schemathesis
from django.core import signals
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from hypothesis import settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from apps.billing.plans import ensure_catalogue
from tests.ai.asking import recognized
from tests.http import log_in, make_user
from tests.nutrition.eating import OWN, ok, write_meal

PREFIX = "/api/v1"
# JSON Schema does not know these rules, by which requests of a good shape may be refused.
RULES = {
    "PATCH /profile": "a time zone is one of some hundred names",
    "PUT /profile/weights/{date}": "nobody has been weighed on a day to come",
    "GET /statistics": "a span has its first day first, and is no longer than a year",
    "POST /recognitions": "a form needs a text or a picture, and most bytes are no picture",
    "PUT /recognitions/{recognition_id}/items": "an item is one of what the model said",
    "POST /diary/meals": "an amount of a measure may come to tons",
    "POST /diary/meals/{meal_id}/items": "an amount of a measure may come to tons",
    "POST /billing/checkout": "a plan is one for sale, a contact is an address or a number",
    "POST /billing/method": "a contact is an address or a number",
    "PUT /billing/subscription/next-plan": "a plan is one for sale",
}
# The 503 that these declare; any other is found by its status.
NOTHING_FOR_SALE = {"POST /billing/checkout", "POST /billing/method"}

schema = schemathesis.openapi.from_wsgi(f"{PREFIX}/openapi.json", get_wsgi_application())


@contextmanager
def one_connection() -> Iterator[None]:
    """The end of a request closes connections; here it is the test's."""
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (signals.request_started, signals.request_finished):
            signal.connect(close_old_connections)


@schema.parametrize()
@settings(max_examples=settings.default.max_examples // 10)
@pytest.mark.django_db
def test_what_is_described_is_what_happens(case: Case) -> None:
    headers = {"Authorization": f"Bearer {log_in(make_user()).access}"}
    client = Client(headers=headers)
    if "/billing/" in case.path:
        ensure_catalogue()
    # Ids of a good shape become those of something that is there.
    for name, sent in case.path_parameters.items():
        if re.fullmatch(r"[1-9][0-9]*|[0-9a-f-]{36}", str(sent)) and name.endswith("_id"):
            case.path_parameters[name] = {
                "meal_id": lambda: write_meal(client)["id"],
                "food_id": lambda: ok(client, "post", "foods", OWN)["id"],
                "recognition_id": lambda: str(recognized(client)),
            }.get(name, lambda sent=sent: sent)()
    route = f"{case.method} {case.path.removeprefix(PREFIX)}"
    excluded = [positive_data_acceptance] if route in RULES else []
    excluded += [not_a_server_error] if route in NOTHING_FOR_SALE else []
    with one_connection():
        case.call_and_validate(headers=headers, excluded_checks=excluded)
