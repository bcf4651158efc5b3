"""Errors to API clients: application/problem+json (RFC 9457) with a stable `code`."""

import logging
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, Throttled, ValidationError
from ninja.parser import Parser
from pydantic import Field

logger = logging.getLogger(__name__)


class Problem(Exception):
    """Raise to answer a problem. `title` and `detail` are for people, `code` for programs."""

    def __init__(self, status: int, code: str, title: str, detail: str = "", **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"type": "about:blank", "status": status, "code": code, "title": title}
        if detail:
            self.body["detail"] = detail
        self.body |= more


class ProblemOut(Schema):
    """The shape of every error of this API."""

    type: str = "about:blank"
    status: int = Field(description="That of the answer", examples=[404])
    code: str = Field(description="Stable, for programs", examples=["not_found"])
    title: str = Field(
        description="For people, in their language", examples=["There is nothing here"]
    )
    detail: str = ""
    actions: list[str] = Field([], description="What the user can do, where we know")
    retryable: bool | None = Field(
        None, description="Whether the same again may succeed", examples=[None]
    )
    retry_after: int | None = Field(
        None, description="Seconds; also in the header Retry-After", examples=[None]
    )


BODY_PROBLEMS = dict.fromkeys((400, 413, 415, 422), ProblemOut)
"""What any route that takes a JSON body may answer."""


def problem_response(problem: Problem) -> HttpResponse:
    response = JsonResponse(
        problem.body, status=problem.status, content_type="application/problem+json"
    )
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = "Bearer"
    if retry_after := problem.body.get("retry_after"):
        response["Retry-After"] = str(retry_after)
    return response


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler404: the same shape outside the API's own routes."""
    return problem_response(Problem(404, "not_found", _("There is nothing here")))


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler400: a Host that is not ours, a broken header."""
    return problem_response(Problem(400, "bad_request", _("The request is not valid")))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    return problem_response(Problem(500, "internal_error", _("Something went wrong on our side")))


def _message(error: dict[str, Any]) -> str:
    """What is wrong with a field, in the reader's language where it is something usual."""
    usual = {
        "missing": _("Is missing"),
        "extra_forbidden": _("Is not known here"),
        "greater_than": _("Takes more than {gt}"),
        "greater_than_equal": _("Takes at least {ge}"),
        "less_than": _("Takes less than {lt}"),
        "less_than_equal": _("Takes at most {le}"),
        "string_too_short": _("Takes at least {min_length} characters"),
        "string_too_long": _("Takes at most {max_length} characters"),
        "decimal_max_places": _("Takes at most {decimal_places} decimal places"),
        "literal_error": _("Takes {expected}"),
        "enum": _("Takes {expected}"),
    }
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    if error["type"] in usual:
        return usual[error["type"]].format(**context)
    return str(error["msg"])


class JsonParser(Parser):
    """Reads a body only if it says that it is JSON."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        if request.content_type != "application/json":
            raise Problem(415, "unsupported_media_type", _("Please send application/json"))
        try:
            return super().parse_body(request)
        except (ValueError, RecursionError):
            raise Problem(400, "malformed_json", _("The request is not JSON")) from None


def install(api: NinjaAPI) -> None:
    """Have the API answer every kind of error as a problem."""

    @api.exception_handler(Problem)
    def _problem(request: HttpRequest, error: Problem) -> HttpResponse:
        return problem_response(error)

    @api.exception_handler(ValidationError)
    def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        fields = [
            {"field": ".".join(str(part) for part in item["loc"][1:]), "message": _message(item)}
            for item in error.errors
        ]
        title = _("The request is not valid")
        return problem_response(Problem(422, "invalid_request", title, errors=fields))

    @api.exception_handler(AuthenticationError)
    def _unauthenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        return problem_response(Problem(401, "not_authenticated", _("Please log in")))

    @api.exception_handler(Throttled)
    def _limited(request: HttpRequest, error: Throttled) -> HttpResponse:
        # The framework adds Retry-After.
        title, detail = _("Too many requests"), _("Please wait a moment and try again.")
        return problem_response(Problem(429, "rate_limited", title, detail))

    @api.exception_handler(Http404)
    def _not_found(request: HttpRequest, error: Http404) -> HttpResponse:
        return not_found(request, error)

    @api.exception_handler(HttpError)
    def _http(request: HttpRequest, error: HttpError) -> HttpResponse:
        # The framework wraps whatever a parser raises.
        if isinstance(error.__cause__, Problem):
            return problem_response(error.__cause__)
        code = HTTPStatus(error.status_code).name.lower()
        return problem_response(Problem(error.status_code, code, str(error)))

    @api.exception_handler(RequestDataTooBig)
    def _too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
        return problem_response(Problem(413, "request_too_big", _("The request is too big")))

    @api.exception_handler(OperationalError)
    def _database_away(request: HttpRequest, error: OperationalError) -> HttpResponse:
        logger.error("database away", extra={"path": request.path, "error": str(error)[:200]})
        response = problem_response(
            Problem(503, "temporarily_unavailable", _("Please try again in a moment"))
        )
        response["Retry-After"] = "5"
        return response

    @api.exception_handler(Exception)
    def _unexpected(request: HttpRequest, error: Exception) -> HttpResponse:
        logger.error("request raised", exc_info=error, extra={"path": request.path})
        return server_error(request)
