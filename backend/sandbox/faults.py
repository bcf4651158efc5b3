"""Faults to order: kinds every service has, what an order may say, and the queue of orders."""

import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox.service import Ending, FaultKind, Parameter, Refused, Reply, Service, number

LONGEST_WAIT = 120
TIMES = number(1, 1000, whole=True)
HEARD = {"heard": Parameter("true or false", lambda value: isinstance(value, bool))}
"""Of kinds that leave nothing of the answer: whether the deed was done all the same."""


def _latency(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    return replace(reply, delay=reply.delay + parameters["seconds"])


def _drip(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    return replace(reply, drip=parameters["seconds"])


def _timeout(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    return replace(reply, delay=LONGEST_WAIT, ending=Ending.SILENCE)


def _reset(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    return replace(reply, ending=Ending.RESET)


def _is_header_value(value: Any) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= 64 and value.isascii() and value.isprintable()
    return type(value) is int and 0 <= value <= 86_400


def _status_kind(service: Service) -> FaultKind:
    def apply(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
        status = parameters["status"]
        headers = {}
        if "retry_after" in parameters:
            headers["Retry-After"] = str(parameters["retry_after"])
        return replace(
            reply,
            status=status,
            body=service.error(status, "ordered fault"),
            html=parameters.get("html"),
            headers=headers,
        )

    return FaultKind(
        apply,
        HEARD
        | {
            "status": number(400, 599, whole=True, required=True),
            "retry_after": Parameter("whole seconds or an HTTP date", _is_header_value),
            "html": Parameter("a page to answer with", lambda value: isinstance(value, str)),
        },
        heard=False,
    )


def kinds_of(service: Service) -> dict[str, FaultKind]:
    """What may be ordered of a service: the common kinds and its own."""
    return {
        "latency": FaultKind(_latency, {"seconds": number(0, LONGEST_WAIT, required=True)}),
        "drip": FaultKind(_drip, {"seconds": number(0.001, LONGEST_WAIT, required=True)}),
        "timeout": FaultKind(_timeout, HEARD),
        "reset": FaultKind(_reset, HEARD),
        "status": _status_kind(service),
        **service.faults,
    }


@dataclass
class Order:
    """A fault and how many more requests it will meet."""

    service: str
    kind: str
    times: int
    parameters: Mapping[str, Any]

    def shown(self) -> dict[str, Any]:
        return {"service": self.service, "kind": self.kind, "times": self.times, **self.parameters}


class FaultBook:
    """Orders by service, each used up in the order it came."""

    def __init__(self, services: tuple[Service, ...]) -> None:
        self._kinds = {service.name: kinds_of(service) for service in services}
        self._lock = threading.Lock()
        self._orders: dict[str, deque[Order]] = defaultdict(deque)

    def place(self, wish: Mapping[str, Any]) -> Order:
        """Queue what was wished for; Refused with 422 where it makes no sense."""
        order = self._read(wish)
        with self._lock:
            self._orders[order.service].append(order)
        return order

    def take(self, service: str) -> Order | None:
        """The order that the next request of the service meets, once."""
        with self._lock:
            orders = self._orders[service]
            if not orders:
                return None
            order = orders[0]
            order.times -= 1
            if order.times == 0:
                orders.popleft()
            return order

    def apply(self, order: Order, reply: Reply) -> Reply:
        return self._kind_of(order).apply(reply, order.parameters)

    def is_heard(self, order: Order) -> bool:
        return bool(order.parameters.get("heard", self._kind_of(order).heard))

    def _kind_of(self, order: Order) -> FaultKind:
        return self._kinds[order.service][order.kind]

    def orders(self) -> list[dict[str, Any]]:
        with self._lock:
            return [order.shown() for orders in self._orders.values() for order in orders]

    def clear(self) -> None:
        with self._lock:
            self._orders.clear()

    def _read(self, wish: Mapping[str, Any]) -> Order:
        service = _choice("service", wish.get("service"), self._kinds)
        kind = _choice("kind", wish.get("kind"), self._kinds[service])
        parameters = self._kinds[service][kind].parameters
        allowed = {"times": TIMES, **parameters}
        given = {key: value for key, value in wish.items() if key not in ("service", "kind")}
        if unknown := sorted(given.keys() - allowed.keys()):
            raise Refused(
                422, f"{kind} does not take {', '.join(unknown)}; it takes {', '.join(allowed)}"
            )
        for name, parameter in allowed.items():
            if name in given and not parameter.accepts(given[name]):
                raise Refused(422, f"{name} takes {parameter.meaning}, not {given[name]!r}")
            if name not in given and parameter.required:
                raise Refused(422, f"{kind} needs {name}: {parameter.meaning}")
        return Order(service, kind, given.pop("times", 1), given)


def _choice(name: str, value: Any, allowed: Mapping[str, Any]) -> str:
    if isinstance(value, str) and value in allowed:
        return value
    raise Refused(422, f"{name} takes one of {', '.join(sorted(allowed))}, not {value!r}")
