"""Health over HTTP, in the API and beside it."""

from dataclasses import asdict
from typing import Any, Literal

from django.conf import settings
from django.http import HttpRequest
from ninja import Field, Router, Schema, Status

from apps.operations.health import run_checks

router = Router(auth=None)


class CheckOut(Schema):
    ok: bool = Field(examples=[True])
    milliseconds: float = Field(examples=[1.4])
    detail: str = ""


class HealthOut(Schema):
    status: Literal["ok", "failing"]
    release: str = Field(description="The version that runs", examples=["1.4.0"])
    checks: dict[str, CheckOut] = Field(
        examples=[{"database": {"ok": True, "milliseconds": 1.4, "detail": ""}}]
    )


def health_report() -> tuple[int, dict[str, Any]]:
    """HTTP status and body: 200 only if every check passed."""
    checks = run_checks()
    ok = all(check.ok for check in checks.values())
    return 200 if ok else 503, {
        "status": "ok" if ok else "failing",
        "release": settings.RELEASE,
        "checks": {name: asdict(check) for name, check in checks.items()},
    }


@router.get("/", response={200: HealthOut, 503: HealthOut}, summary="Can the service work?")
def health(request: HttpRequest) -> Status[dict[str, Any]]:
    """200 only if every check passed; else 503, and `checks` says which did not."""
    return Status(*health_report())
