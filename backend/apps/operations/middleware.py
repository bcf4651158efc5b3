"""What every request gets: an id that follows it into logs and jobs."""

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from config.logs import log_context
from config.problems import Problem, problem_response

# More than nginx.conf lets through.
CHUNK_BYTES, MOST_CHUNKS = 1 << 16, 400

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def _as_problem(response: HttpResponse) -> HttpResponse:
    """Ninja answers a wrong method as plain text."""
    problem = problem_response(
        Problem(405, "method_not_allowed", _("This address takes another method"))
    )
    problem["Allow"] = response.get("Allow", "")
    return problem


def _read_to_the_end(request: HttpRequest) -> None:
    """What was refused unread, such as a photo of somebody unknown.

    Gunicorn closes a connection in which much is left unread, and nginx, still writing, would
    answer 502 instead of what we said.
    """
    with suppress(OSError, ValueError):  # the client is gone, or the stream closed
        for _ in range(MOST_CHUNKS):
            if not request.read(CHUNK_BYTES):
                return


class RequestMiddleware:
    """Takes X-Request-ID from the proxy, or makes one, and answers it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        with log_context(request_id=request_id):
            response = self.get_response(request)
            if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                response = _as_problem(response)
        _read_to_the_end(request)
        response["X-Request-ID"] = request_id
        return response
