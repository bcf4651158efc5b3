"""The outside world apart from HTTP: which service answers what, by which fault, into which log."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sandbox import effects, openrouter, telegram, yookassa
from sandbox.control import build_control
from sandbox.faults import FaultBook
from sandbox.journal import Entry, Journal
from sandbox.service import Reply, Request, Service

BUILDERS = (
    openrouter.build_service,
    telegram.build_service,
    yookassa.build_service,
    effects.build_service,
)


@dataclass(frozen=True)
class Exchange:
    """What to answer; `entry` is the request's line in the log, if it is one that is logged."""

    reply: Reply
    entry: Entry | None = None

    def answered(self) -> None:
        """Write the status down. Before it is sent: who has the answer may read the log at once."""
        if self.entry:
            self.entry.status = self.reply.status


class World:
    """Each has its own log, faults and services."""

    def __init__(self, builders: Iterable[Callable[[], Service]] = BUILDERS) -> None:
        self.journal = Journal()
        self.services = tuple(build() for build in builders)
        self.faults = FaultBook(self.services)
        self.control = build_control(
            services=self.services, journal=self.journal, faults=self.faults
        )

    def answer(self, request: Request) -> Exchange:
        if self.control.owns(request.path):
            return Exchange(self.control.handle(request))
        service = next((one for one in self.services if one.owns(request.path)), None)
        if service is None:
            return Exchange(Reply(status=404, body={"error": f"no service at {request.path}"}))
        if service.is_aside(request.path):
            return Exchange(service.handle(request))
        order = self.faults.take(service.name)
        entry = self.journal.record(
            service=service.name, request=request, fault=order.kind if order else None
        )
        heard = order is None or self.faults.is_heard(order)
        reply = service.handle(request) if heard else Reply()
        return Exchange(self.faults.apply(order, reply) if order else reply, entry)
