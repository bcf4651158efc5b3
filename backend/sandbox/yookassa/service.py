"""HTTP around the till: the API, the page for people, and the addresses that direct it."""

import base64
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from typing import Any
from urllib.parse import parse_qs

from sandbox.service import (
    Ending,
    FaultKind,
    Handler,
    Parameter,
    Refused,
    Reply,
    Request,
    Route,
    Service,
    number,
)
from sandbox.yookassa.notices import MODES, ORDERS, Way
from sandbox.yookassa.objects import GOOD_CARD
from sandbox.yookassa.page import show_page
from sandbox.yookassa.till import YooKassa
from sandbox.yookassa.wishes import Invalid

CODES = {
    400: "invalid_request",
    401: "invalid_credentials",
    403: "forbidden",
    404: "not_found",
    429: "too_many_requests",
    500: "internal_server_error",
}
ID = r"/(?P<id>[^/]+)"

TEXT = Parameter("a text", lambda value: isinstance(value, str))
FLAG = Parameter("true or false", lambda value: isinstance(value, bool))
OBJECT = Parameter("an object", lambda value: isinstance(value, dict))


def one_of(*options: str) -> Parameter:
    return Parameter(f"one of {', '.join(options)}", lambda value: value in options)


def build_service(till: YooKassa | None = None) -> Service:
    till = till or YooKassa()
    return Service(
        name="yookassa",
        routes=_api(till),
        asides=(*_page(till), *_direction(till)),
        faults={
            "change": FaultKind(_change, {"fields": replace(OBJECT, required=True)}),
            "cut_off": FaultKind(lambda reply, _: replace(reply, ending=Ending.CUT_OFF)),
            "html": FaultKind(lambda reply, _: replace(reply, html="<h1>Please wait</h1>")),
        },
        error=_error,
    )


def _error(status: int, message: str, parameter: str = "") -> dict[str, Any]:
    error = {
        "type": "error",
        "id": str(uuid.uuid4()),
        "code": CODES.get(status, CODES[500]),
        "description": message,
    }
    return error | ({"parameter": parameter} if parameter else {})


def _change(reply: Reply, parameters: Mapping[str, Any]) -> Reply:
    """The answer with other values in some of its fields; null takes one away."""
    if not isinstance(reply.body, dict):
        return reply
    body = reply.body | parameters["fields"]
    return replace(reply, body={name: value for name, value in body.items() if value is not None})


def _api(till: YooKassa) -> tuple[Route, ...]:
    def show_payments(request: Request) -> Reply:
        payments, cursor = till.list_payments(request.query)
        items = [payment.shown(_base(request)) for payment in payments]
        page = {"type": "list", "items": items}
        return Reply(body=page | ({"next_cursor": cursor} if cursor else {}))

    def create_payment(request: Request) -> Reply:
        payment = till.create_payment(_sent(request), _key(request))
        return Reply(body=payment.shown(_base(request)))

    def show_payment(request: Request) -> Reply:
        return Reply(body=till.get_payment(request.arguments["id"]).shown(_base(request)))

    def capture_payment(request: Request) -> Reply:
        return Reply(body=till.capture_payment(request.arguments["id"], _key(request)).shown())

    def cancel_payment(request: Request) -> Reply:
        return Reply(body=till.cancel_payment(request.arguments["id"], _key(request)).shown())

    def create_refund(request: Request) -> Reply:
        return Reply(body=till.create_refund(_sent(request), _key(request)).shown())

    def show_refund(request: Request) -> Reply:
        return Reply(body=till.get_refund(request.arguments["id"]).shown())

    return (
        Route("GET", "/v3/payments", _guarded(show_payments)),
        Route("POST", "/v3/payments", _guarded(create_payment)),
        Route("GET", f"/v3/payments{ID}", _guarded(show_payment)),
        Route("POST", f"/v3/payments{ID}/capture", _guarded(capture_payment)),
        Route("POST", f"/v3/payments{ID}/cancel", _guarded(cancel_payment)),
        Route("POST", "/v3/refunds", _guarded(create_refund)),
        Route("GET", f"/v3/refunds{ID}", _guarded(show_refund)),
    )


def _guarded(handler: Handler) -> Handler:
    """Lets a shop in alone, and says which parameter was wrong."""

    @wraps(handler)
    def handle(request: Request) -> Reply:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        try:
            shop, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
        except ValueError:
            shop = secret = ""
        if scheme.lower() != "basic" or not shop.isdecimal() or not secret:
            raise Refused(401, "Basic authentication by shop id and secret key is needed")
        try:
            return handler(request)
        except Invalid as error:
            body = _error(error.status, error.message, error.parameter)
            return Reply(status=error.status, body=body)

    return handle


def _page(till: YooKassa) -> tuple[Route, ...]:
    def show(request: Request) -> Reply:
        return Reply(html=show_page(till.get_payment(request.arguments["id"])))

    def decide(request: Request) -> Reply:
        form = {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}
        payment_id = request.arguments["id"]
        try:
            if form.get("action") == "pay":
                card, agrees = form.get("card", GOOD_CARD), "agrees" in form
                payment = till.pay(payment_id, card=card, agrees=agrees)
            else:
                payment = till.decline(payment_id, form.get("reason", "general_decline"))
        except Refused as refused:
            if refused.status != 409:  # decided already: the page says how
                raise
            return show(request)
        return Reply(status=303, headers={"Location": payment.wish.return_url})

    return (Route("GET", f"/pay{ID}", show), Route("POST", f"/pay{ID}", decide))


def _direction(till: YooKassa) -> tuple[Route, ...]:
    outbox = till.outbox

    def set_clock(request: Request) -> Reply:
        asked = _read(request, seconds=number(0, 10**9, required=True))
        return Reply(body={"now": till.set_forward(timedelta(**asked)).isoformat()})

    def pay(request: Request) -> Reply:
        asked = _read(request, card=TEXT, agrees=FLAG)
        return Reply(body=till.pay(request.arguments["id"], **asked).shown())

    def decline(request: Request) -> Reply:
        asked = _read(request, reason=replace(TEXT, required=True))
        return Reply(body=till.decline(request.arguments["id"], **asked).shown())

    def decide_charges(request: Request) -> Reply:
        till.decide_charges(**_read(request, method=TEXT, reason=TEXT, pending=FLAG))
        return Reply(status=204)

    def decide_refunds(request: Request) -> Reply:
        till.decide_refunds(**_read(request, reason=TEXT, pending=FLAG))
        return Reply(status=204)

    def settle_refund(request: Request) -> Reply:
        asked = _read(request, reason=TEXT)
        return Reply(body=till.settle_refund(request.arguments["id"], **asked).shown())

    def direct_notifications(request: Request) -> Reply:
        asked = _read(
            request,
            url=TEXT,
            headers=OBJECT,
            mode=one_of(*MODES),
            times=number(1, 10, whole=True),
        )
        outbox.direct(Way(**asked))
        return show_notifications(request)

    def show_notifications(request: Request) -> Reply:
        return Reply(body=outbox.shown())

    def flush(request: Request) -> Reply:
        asked = _read(
            request,
            order=one_of(*ORDERS),
            times=number(1, 10, whole=True),
            senders=number(1, 64, whole=True),
        )
        return Reply(body={"sent": outbox.flush(**asked)})

    def forge(request: Request) -> Reply:
        needed = {"event": replace(TEXT, required=True), "object": replace(OBJECT, required=True)}
        body = {"type": "notification", **_read(request, **needed)}
        return Reply(body={"answered": outbox.forge(body)})

    def show_books(request: Request) -> Reply:
        return Reply(body=till.books())

    def reset(request: Request) -> Reply:
        till.reset()
        return Reply(status=204)

    return (
        Route("POST", "/_clock", set_clock),
        Route("POST", f"/_pay{ID}", pay),
        Route("POST", f"/_decline{ID}", decline),
        Route("POST", "/_charges", decide_charges),
        Route("POST", "/_refunds", decide_refunds),
        Route("POST", f"/_settle{ID}", settle_refund),
        Route("POST", "/_notifications", direct_notifications),
        Route("GET", "/_notifications", show_notifications),
        Route("POST", "/_flush", flush),
        Route("POST", "/_forge", forge),
        Route("GET", "/_books", show_books),
        Route("POST", "/_reset", reset),
    )


def _read(request: Request, **parameters: Parameter) -> dict[str, Any]:
    """The fields of a direction; Refused with 422 where they make no sense."""
    given = request.json() if request.body else {}
    if unknown := sorted(given.keys() - parameters.keys()):
        raise Refused(422, f"unknown: {', '.join(unknown)}; it takes {', '.join(parameters)}")
    for name, parameter in parameters.items():
        if name in given and not parameter.accepts(given[name]):
            raise Refused(422, f"{name} takes {parameter.meaning}, not {given[name]!r}")
        if name not in given and parameter.required:
            raise Refused(422, f"{name} is needed: {parameter.meaning}")
    return given


def _sent(request: Request) -> dict[str, Any]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if media_type != "application/json":
        raise Refused(415, f"application/json is taken, not {media_type!r}")
    return request.json()


def _key(request: Request) -> str:
    key = request.headers.get("idempotence-key", "")
    if not key:
        raise Invalid("the header Idempotence-Key is needed", "Idempotence-Key")
    return key


def _base(request: Request) -> str:
    return f"http://{request.headers.get('host', 'sandbox')}"
