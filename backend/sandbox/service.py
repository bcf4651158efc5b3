"""What a service is made of: requests in, replies out, routes between them."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any


class Refused(Exception):
    """Raised by a handler; the service answers it in its own shape of an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was received. `headers` has lower-case names; `arguments` are those of the path."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    arguments: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; Refused with 400 where it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            raise Refused(400, "the body is not valid JSON") from None
        if not isinstance(value, dict):
            raise Refused(400, "the body is not a JSON object")
        return value


class Ending(Enum):
    ANSWER = "answer"
    CUT_OFF = "cut_off"
    SILENCE = "silence"
    RESET = "reset"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What to answer, and how: after `delay` seconds, or with something else than an answer."""

    status: int = 200
    body: Any = None
    html: str | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    # Seconds between one byte of the body and the next.
    drip: float = 0
    ending: Ending = Ending.ANSWER


Handler = Callable[[Request], Reply]


@dataclass(frozen=True)
class Route:
    """`pattern` is a regular expression; its named groups become the request's arguments."""

    method: str
    pattern: str
    handler: Handler


@dataclass(frozen=True)
class Parameter:
    """One field of an order. `meaning` completes "it takes …"."""

    meaning: str
    accepts: Callable[[Any], bool]
    required: bool = False


@dataclass(frozen=True)
class FaultKind:
    """Makes a reply faulty, as the order's parameters say.

    `heard`: whether the service does what it was asked all the same.
    """

    apply: Callable[[Reply, Mapping[str, Any]], Reply]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    heard: bool = True


def number(low: float, high: float, *, whole: bool = False, required: bool = False) -> Parameter:
    """A parameter that takes a number between two bounds, both included."""
    types = (int,) if whole else (int, float)
    return Parameter(
        f"{'an integer' if whole else 'a number'} from {low} to {high}",
        lambda value: type(value) in types and low <= value <= high,
        required,
    )


def plain_error(status: int, message: str) -> Any:
    return {"error": message}


@dataclass(frozen=True, kw_only=True)
class Service:
    """Everything below `/{name}/`, or below a `prefix` of its own.

    `asides` are for tests and people: never logged, and spared by faults.
    """

    name: str
    routes: tuple[Route, ...]
    asides: tuple[Route, ...] = ()
    prefix: str = ""
    faults: Mapping[str, FaultKind] = field(default_factory=dict)
    error: Callable[[int, str], Any] = plain_error

    def owns(self, path: str) -> bool:
        return path.startswith(self.prefix or f"/{self.name}/")

    def is_aside(self, path: str) -> bool:
        rest = path.removeprefix(f"/{self.name}")
        return any(re.fullmatch(aside.pattern, rest) for aside in self.asides)

    def handle(self, request: Request) -> Reply:
        """Answer by the route that matches; never raises Refused."""
        try:
            route, arguments = self._find(request)
            return route.handler(replace(request, arguments=arguments))
        except Refused as refused:
            return Reply(status=refused.status, body=self.error(refused.status, refused.message))

    def _find(self, request: Request) -> tuple[Route, dict[str, str]]:
        path = request.path.removeprefix(self.prefix or f"/{self.name}")
        matching = [
            (route, match.groupdict())
            for route in (*self.routes, *self.asides)
            if (match := re.fullmatch(route.pattern, path))
        ]
        if not matching:
            raise Refused(404, f"{self.name} has nothing at {request.path}")
        for route, arguments in matching:
            if route.method == request.method:
                return route, arguments
        raise Refused(405, f"{request.path} does not take {request.method}")
