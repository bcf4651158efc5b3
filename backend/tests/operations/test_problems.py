"""Errors that do not come from a route are problems too, and say what to do."""

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from tests.http import StartServer, log_in

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("put", "/api/v1/recognitions", "POST"), ("delete", "/api/v1/diary/2026-01-01", "GET")],
)
def test_a_wrong_method_is_named_with_the_right_one(method: str, path: str, allowed: str) -> None:
    answer = getattr(Client(), method)(path)
    assert (answer.status_code, answer["Content-Type"]) == (405, PROBLEM)
    assert answer.json()["code"] == "method_not_allowed"
    assert allowed in answer["Allow"]


def test_a_host_that_is_not_ours_is_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    answer = Client(headers={"host": "evil.example"}).get("/api/v1/diary/2026-01-01")
    assert (answer.status_code, answer["Content-Type"]) == (400, PROBLEM)
    assert answer.json()["code"] == "bad_request"


@pytest.mark.django_db(transaction=True)
def test_without_a_database_clients_are_told_when_to_come_back(start_server: StartServer) -> None:
    user = User.objects.create(telegram_id=1)
    _, client = start_server(POSTGRES_HOST="/nonexistent")
    headers: dict[str, Any] = {"Authorization": f"Bearer {log_in(user).access}"}
    answer = client.get("/api/v1/diary/2026-01-01", headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, PROBLEM)
    assert answer.json()["code"] == "temporarily_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert "nonexistent" not in answer.text
