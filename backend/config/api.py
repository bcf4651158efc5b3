"""The HTTP API, version 1: which app serves which part."""

import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.openapi.docs import Swagger
from ninja.openapi.schema import OpenAPISchema

from apps.accounts.api.account import router as account
from apps.accounts.api.auth import development_router
from apps.accounts.api.auth import router as auth
from apps.accounts.api.profile import router as profile
from apps.accounts.limits import SAFE_METHODS, write_limit
from apps.accounts.tokens import logged_in
from apps.ai.api import quota_router as quota
from apps.ai.api import router as ai
from apps.billing.api import router as billing
from apps.nutrition.api import diary, foods, statistics, targets
from apps.operations.api import router as operations
from config import problems
from config.examples import complete_examples


class LocalSwagger(Swagger):
    """The documentation page with files of our own server, though Ninja is no installed app."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        self.settings["url"] = self.get_openapi_url(api, kwargs)
        context = {"swagger_settings": json.dumps(self.settings), "api": api, "add_csrf": False}
        return render(request, self.template, context)


class Api(NinjaAPI):
    """Every route that changes something is limited, and its description says so; bodies have
    examples."""

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        document = super().get_openapi_schema(**kwargs)
        for methods in document["paths"].values():
            for method, operation in methods.items():
                if method.upper() not in SAFE_METHODS:
                    operation["responses"].setdefault(429, TOO_MANY_REQUESTS)
                for response in operation["responses"].values():
                    say_problem(response)
        complete_examples(document)
        return document


def say_problem(response: dict[str, Any]) -> None:
    """The framework takes every answer for application/json; problems have a type of their own."""
    content = response.get("content", {})
    shown = content.get("application/json")
    if shown and shown["schema"].get("$ref", "").endswith("/ProblemOut"):
        response["content"] = {PROBLEM_JSON: shown}


PROBLEM_JSON = "application/problem+json"
TOO_MANY_REQUESTS = {
    "description": "Too Many Requests: `rate_limited`",
    "headers": {
        "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}},
    },
    "content": {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}
    },
}

api = Api(
    docs=LocalSwagger(),
    auth=logged_in,
    throttle=write_limit,
    title="EatFit24",
    version="1",
    description="A meal goes in, the diary counts it.",
    urls_namespace="api-v1",
    parser=problems.JsonParser(),
)
problems.install(api)
api.add_router("/auth", auth, tags=["accounts"])
if settings.DEVELOPMENT_LOGIN:
    api.add_router("/auth", development_router, tags=["development"])
api.add_router("/profile", profile, tags=["accounts"])
api.add_router("/account", account, tags=["accounts"])
api.add_router("/recognitions", ai, tags=["recognitions"])
api.add_router("/quota", quota, tags=["recognitions"])
api.add_router("/foods", foods, tags=["foods"])
api.add_router("/diary", diary, tags=["diary"])
api.add_router("/targets", targets, tags=["targets"])
api.add_router("/statistics", statistics, tags=["statistics"])
api.add_router("/billing", billing, tags=["billing"])
api.add_router("/health", operations, tags=["operations"])
