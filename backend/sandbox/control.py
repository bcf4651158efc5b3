"""The sandbox's own addresses, below `/_`: health, log, faults, effects. Never logged."""

from sandbox.effects import count_effects
from sandbox.faults import FaultBook
from sandbox.journal import Journal
from sandbox.service import Refused, Reply, Request, Route, Service


def build_control(*, services: tuple[Service, ...], journal: Journal, faults: FaultBook) -> Service:
    names = [service.name for service in services]

    def chosen(request: Request) -> str | None:
        name = request.query.get("service")
        if name is not None and name not in names:
            raise Refused(422, f"service takes one of {', '.join(names)}, not {name!r}")
        return name

    def show_health(request: Request) -> Reply:
        return Reply(body={"status": "ok", "services": names})

    def show_log(request: Request) -> Reply:
        return Reply(body={"entries": journal.entries(chosen(request))})

    def clear_log(request: Request) -> Reply:
        journal.clear(chosen(request))
        return Reply(status=204)

    def show_faults(request: Request) -> Reply:
        return Reply(body={"faults": faults.orders()})

    def order_fault(request: Request) -> Reply:
        return Reply(status=201, body=faults.place(request.json()).shown())

    def clear_faults(request: Request) -> Reply:
        faults.clear()
        return Reply(status=204)

    def show_effects(request: Request) -> Reply:
        return Reply(body={"effects": count_effects(journal.entries("effects"))})

    return Service(
        name="control",
        prefix="/_",
        routes=(
            Route("GET", "health", show_health),
            Route("GET", "log", show_log),
            Route("DELETE", "log", clear_log),
            Route("GET", "faults", show_faults),
            Route("POST", "faults", order_fault),
            Route("DELETE", "faults", clear_faults),
            Route("GET", "effects", show_effects),
        ),
    )
