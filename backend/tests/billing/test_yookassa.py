"""YooKassa's client: what it says, what it understands, and what it does not take for an answer."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from apps.billing import gateway as g
from apps.billing.yookassa import YooKassa, configured
from sandbox.in_process import InProcess
from sandbox.yookassa.objects import REASONS
from tests.sandbox.requests import log, order
from tests.sandbox.yookassa import books, direct, saved_method

SECRET = "test_very-secret-key"
RETURN_URL = "https://eatfit24.example/app/paid"


@pytest.fixture
def sandbox() -> Iterator[httpx.Client]:
    """Who directs the provider."""
    with httpx.Client(transport=InProcess(), base_url="http://sandbox") as client:
        yield client


@pytest.fixture
def yookassa(sandbox: httpx.Client) -> YooKassa:
    transport = sandbox._transport
    return YooKassa(
        shop_id="100500",
        secret_key=SECRET,
        url="http://sandbox/yookassa/v3",
        transport=transport,
    )


def a_month(**fields: Any) -> g.NewPayment:
    given: dict[str, Any] = {
        "amount": Decimal("299.00"),
        "description": "EatFit24, a month",
        "metadata": {"payment": "1"},
        "return_url": RETURN_URL,
    }
    return g.NewPayment(**(given | fields))


def a_charge(method: str, **fields: Any) -> g.NewPayment:
    return a_month(payment_method=method, return_url="", **fields)


def pay(sandbox: httpx.Client, yookassa: YooKassa, key: str = "1", **fields: Any) -> str:
    """The id of a payment that a person has paid."""
    payment = yookassa.create_payment(a_month(**fields), key=key)
    direct(sandbox, f"_pay/{payment.id}")
    return payment.id


class TestPayments:
    def test_a_new_one(self, sandbox: httpx.Client, yookassa: YooKassa) -> None:
        payment = yookassa.create_payment(a_month(), key="key-1")
        assert payment.status is g.PaymentStatus.PENDING
        assert (payment.amount, payment.refunded) == (Decimal("299.00"), Decimal("0.00"))
        assert payment.confirmation_url == f"http://sandbox/yookassa/pay/{payment.id}"
        assert payment.metadata == {"payment": "1"}
        assert (payment.method, payment.cancellation, payment.captured_at) == (None, None, None)
        assert abs(datetime.now(UTC) - payment.created_at) < timedelta(minutes=1)
        [entry] = log(sandbox, "yookassa")
        assert entry["headers"]["idempotence-key"] == "key-1"
        assert entry["body"] == {
            "amount": {"value": "299.00", "currency": "RUB"},
            "capture": True,
            "confirmation": {"type": "redirect", "return_url": RETURN_URL},
            "description": "EatFit24, a month",
            "metadata": {"payment": "1"},
            "save_payment_method": False,
        }

    def test_asked_again_with_its_key(self, sandbox: httpx.Client, yookassa: YooKassa) -> None:
        first, again = (yookassa.create_payment(a_month(), key="1") for _ in range(2))
        assert first == again
        assert len(books(sandbox)["payments"]) == 1

    def test_paid(self, sandbox: httpx.Client, yookassa: YooKassa) -> None:
        identifier = pay(sandbox, yookassa, save_payment_method=True)
        payment = yookassa.get_payment(identifier)
        assert payment.status is g.PaymentStatus.SUCCEEDED
        assert payment.captured_at is not None
        assert payment.captured_at >= payment.created_at
        assert payment.method == g.PaymentMethod(
            id=identifier, type="bank_card", saved=True, title="Bank card *4477"
        )
        assert payment.confirmation_url == ""

    def test_a_method_that_was_not_saved(self, sandbox: httpx.Client, yookassa: YooKassa) -> None:
        method = yookassa.get_payment(pay(sandbox, yookassa)).method
        assert method is not None
        assert method.saved is False
        with pytest.raises(g.Refused) as caught:
            yookassa.create_payment(a_charge(method.id), key="2")
        assert caught.value.code == "invalid_request"
        assert "payment_method_id" in caught.value.detail

    def test_charged(self, sandbox: httpx.Client, yookassa: YooKassa) -> None:
        method = saved_method(sandbox)
        payment = yookassa.create_payment(a_charge(method), key="1")
        assert payment.status is g.PaymentStatus.SUCCEEDED
        assert payment.method is not None
        assert payment.method.id == method
        direct(sandbox, "_charges", pending=True)
        assert yookassa.create_payment(a_charge(method), key="2").status == "pending"

    @pytest.mark.parametrize("reason", REASONS)
    def test_declined(self, sandbox: httpx.Client, yookassa: YooKassa, reason: str) -> None:
        direct(sandbox, "_charges", reason=reason)
        payment = yookassa.create_payment(a_charge(saved_method(sandbox)), key="1")
        assert payment.status is g.PaymentStatus.CANCELED
        assert payment.cancellation is not None
        assert payment.cancellation.reason == reason

    @pytest.mark.parametrize("to", [{"email": "eater@example.com"}, {"phone": "79000000000"}])
    def test_receipts(self, sandbox: httpx.Client, yookassa: YooKassa, to: dict[str, str]) -> None:
        receipt = g.Receipt(item="A month", vat_code=1, **to)
        payment = pay(sandbox, yookassa, receipt=receipt)
        part = g.NewRefund(payment=payment, amount=Decimal("99.50"), receipt=receipt)
        yookassa.create_refund(part, key="2")
        [booked] = books(sandbox)["payments"]
        for sent, value in (
            (booked["receipt"], "299.00"),
            (booked["refunds"][0]["receipt"], "99.50"),
        ):
            assert sent["customer"] == to
            assert sent["items"] == [
                {
                    "description": "A month",
                    "quantity": "1.00",
                    "amount": {"value": value, "currency": "RUB"},
                    "vat_code": 1,
                    "payment_mode": "full_payment",
                    "payment_subject": "service",
                }
            ]

    @pytest.mark.parametrize(
        "identifier", ["", "../refunds", "a/b", "a?b=c", "a%2Fb", "a b", "х", "a" * 65, "a\n"]
    )
    def test_an_id_that_leads_elsewhere_is_not_asked_for(
        self, sandbox: httpx.Client, yookassa: YooKassa, identifier: str
    ) -> None:
        for get in (yookassa.get_payment, yookassa.get_refund):
            with pytest.raises(g.NotThere):
                get(identifier)
        assert log(sandbox, "yookassa") == []

    def test_nothing_there(self, yookassa: YooKassa) -> None:
        for get in (yookassa.get_payment, yookassa.get_refund):
            with pytest.raises(g.NotThere):
                get("23d93cac-000f-5000-8000-126628f15141")

    @pytest.mark.parametrize(
        "fields",
        [
            {"amount": Decimal("1.001")},
            {"amount": Decimal(0)},
            {"amount": Decimal("-1.00")},
            {"amount": Decimal("NaN")},
            {"amount": Decimal("Infinity")},
            {"payment_method": "x"},
            {"return_url": ""},
        ],
    )
    def test_what_makes_no_sense_is_not_even_said(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"amount|method"):
            a_month(**fields)

    @pytest.mark.parametrize("key", ["", "k" * 65, "a key", "ключ", "a\r\nX-Other: b"])
    def test_a_key_that_is_none(self, sandbox: httpx.Client, yookassa: YooKassa, key: str) -> None:
        with pytest.raises(ValueError, match="visible characters"):
            yookassa.create_payment(a_month(), key=key)
        assert log(sandbox, "yookassa") == []


class TestRefunds:
    def test_in_parts(self, sandbox: httpx.Client, yookassa: YooKassa) -> None:
        payment = pay(sandbox, yookassa)
        refund = yookassa.create_refund(
            g.NewRefund(payment=payment, amount=Decimal("99.00")), key="2"
        )
        assert (refund.status, refund.payment) == (g.RefundStatus.SUCCEEDED, payment)
        assert yookassa.get_refund(refund.id) == refund
        assert yookassa.get_payment(payment).refunded == Decimal("99.00")
        with pytest.raises(g.Refused, match="amount"):
            yookassa.create_refund(g.NewRefund(payment=payment, amount=Decimal("200.01")), key="3")

    def test_pending_then_canceled(self, sandbox: httpx.Client, yookassa: YooKassa) -> None:
        direct(sandbox, "_refunds", pending=True)
        whole = g.NewRefund(payment=pay(sandbox, yookassa), amount=Decimal("299.00"))
        refund = yookassa.create_refund(whole, key="2")
        assert refund.status is g.RefundStatus.PENDING
        direct(sandbox, f"_settle/{refund.id}", reason="general_decline")
        refund = yookassa.get_refund(refund.id)
        assert refund.status is g.RefundStatus.CANCELED
        assert refund.cancellation == g.Cancellation(
            party="payment_network", reason="general_decline"
        )


class TestListing:
    def test_all_pages(self, sandbox: httpx.Client, yookassa: YooKassa) -> None:
        begun = datetime.now(UTC) - timedelta(seconds=1)
        made = [yookassa.create_payment(a_month(), key=str(n)).id for n in range(205)]
        ends = begun + timedelta(minutes=5)
        direct(sandbox, "_clock", seconds=3600)
        yookassa.create_payment(a_month(), key="later")
        found = [p.id for p in yookassa.list_payments(created_gte=begun, created_lt=ends)]
        assert found == made[::-1]
        pages = [entry for entry in log(sandbox, "yookassa") if entry["method"] == "GET"]
        assert len(pages) == 3

    def test_bounds_to_the_millisecond(self, yookassa: YooKassa) -> None:
        at = yookassa.create_payment(a_month(), key="1").created_at

        def found(gte: datetime, lt: datetime) -> int:
            return len(list(yookassa.list_payments(created_gte=gte, created_lt=lt)))

        step, far = timedelta(microseconds=1), timedelta(days=1)
        assert found(at, at + far) == 1
        assert found(at - far, at) == 0
        assert found(at - far, at + step) == 1
        moscow = at.astimezone().tzinfo
        assert found(at.astimezone(moscow), (at + far).astimezone(moscow)) == 1

    def test_one_that_goes_round(self, sandbox: httpx.Client, yookassa: YooKassa) -> None:
        order(sandbox, "change", "yookassa", fields={"next_cursor": "before-0"}, times=9)
        now = datetime.now(UTC)
        with pytest.raises(g.Unknown, match="circle"):
            list(yookassa.list_payments(created_gte=now, created_lt=now))

    def test_ends_with_its_deadline(self, sandbox: httpx.Client, yookassa: YooKassa) -> None:
        now = datetime.now(UTC)
        with pytest.raises(g.Unknown, match="timeout"):
            list(yookassa.list_payments(created_gte=now, created_lt=now, deadline=timedelta()))
        assert log(sandbox, "yookassa") == []


def html(status: int) -> dict[str, Any]:
    return {"status": status, "html": "<h1>nginx</h1>"}


class TestErrors:
    @pytest.mark.parametrize(
        ("fault", "expected", "code"),
        [
            ({"status": 400}, g.Refused, "invalid_request"),
            ({"status": 401}, g.Unauthorized, "invalid_credentials"),
            ({"status": 403}, g.Unauthorized, "forbidden"),
            ({"status": 404}, g.Refused, "not_found"),
            ({"status": 429}, g.TooMany, "too_many_requests"),
            (html(429), g.TooMany, "too_many_requests"),
            ({"status": 500}, g.Unknown, "internal_server_error"),
            ({"status": 405}, g.Unknown, "undocumented_answer"),
            ({"status": 409}, g.Unknown, "undocumented_answer"),
            ({"status": 503}, g.Unknown, "undocumented_answer"),
            (html(400), g.Unknown, "undocumented_answer"),
            (html(401), g.Unknown, "undocumented_answer"),
            (html(403), g.Unknown, "undocumented_answer"),
            (html(404), g.Unknown, "undocumented_answer"),
            (html(500), g.Unknown, "undocumented_answer"),
            (html(502), g.Unknown, "undocumented_answer"),
        ],
    )
    def test_told_apart(
        self,
        sandbox: httpx.Client,
        yookassa: YooKassa,
        fault: dict[str, Any],
        expected: type[g.GatewayError],
        code: str,
    ) -> None:
        order(sandbox, "status", "yookassa", **fault)
        with pytest.raises(g.GatewayError) as caught:
            yookassa.create_payment(a_month(), key="1")
        assert (type(caught.value), caught.value.code) == (expected, code)
        assert books(sandbox)["payments"] == []
        yookassa.create_payment(a_month(), key="1")

    @pytest.mark.parametrize(
        ("retry_after", "seconds"),
        [
            (7, 7),
            ("soon", 0),
            ("-1", 0),
            (86_400, 3600),
            ("Thu, 01 Jan 2099 00:00:00 GMT", 3600),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ],
    )
    def test_when_to_come_back(
        self, sandbox: httpx.Client, yookassa: YooKassa, retry_after: int | str, seconds: int
    ) -> None:
        order(sandbox, "status", "yookassa", status=429, retry_after=retry_after)
        with pytest.raises(g.TooMany) as caught:
            yookassa.get_payment("1")
        assert caught.value.after == timedelta(seconds=seconds)

    @pytest.mark.parametrize("heard", [True, False])
    @pytest.mark.parametrize(
        ("kind", "more"),
        [("timeout", {}), ("reset", {}), ("status", {"status": 500}), ("status", html(502))],
    )
    def test_unknown_is_mended_by_the_same_key(
        self,
        sandbox: httpx.Client,
        yookassa: YooKassa,
        kind: str,
        more: dict[str, Any],
        heard: bool,
    ) -> None:
        method = saved_method(sandbox)
        order(sandbox, kind, "yookassa", heard=heard, **more)
        with pytest.raises(g.Unknown) as caught:
            yookassa.create_payment(a_charge(method), key="1")
        assert not isinstance(caught.value, g.Unreachable)
        assert books(sandbox)["captured"] == ("399.00" if heard else "100.00")
        payment = yookassa.create_payment(a_charge(method), key="1")
        assert payment.status is g.PaymentStatus.SUCCEEDED
        assert books(sandbox)["captured"] == "399.00"

    def test_a_key_used_for_something_else_says_nothing(
        self, sandbox: httpx.Client, yookassa: YooKassa
    ) -> None:
        yookassa.create_payment(a_month(), key="1")
        with pytest.raises(g.Unknown) as caught:
            yookassa.create_payment(a_month(amount=Decimal("1.00")), key="1")
        assert caught.value.code == "key_used"

    @pytest.mark.parametrize(
        "fields",
        [
            {"id": None},
            {"id": "../refunds/1"},
            {"id": 1},
            {"status": "frozen"},
            {"status": None},
            {"status": ["succeeded"]},
            {"amount": {"value": "298.00", "currency": "RUB"}},
            {"amount": {"value": 299.0, "currency": "RUB"}},
            {"amount": {"value": "299", "currency": "RUB"}},
            {"amount": {"value": "2.99e2", "currency": "RUB"}},
            {"amount": {"value": "299.00", "currency": "USD"}},
            {"amount": "299.00"},
            {"refunded_amount": {"value": "-1.00", "currency": "RUB"}},
            {"created_at": "2026-01-01T00:00:00"},
            {"created_at": "yesterday"},
            {"captured_at": 1},
            {"confirmation": "https://elsewhere.example"},
            {"payment_method": {"saved": True}},
            {"payment_method": "card"},
            {"cancellation_details": {"reason": "general_decline"}},
            {"metadata": ["payment"]},
        ],
        ids=json.dumps,
    )
    def test_an_answer_that_is_none(
        self, sandbox: httpx.Client, yookassa: YooKassa, fields: dict[str, Any]
    ) -> None:
        order(sandbox, "change", "yookassa", fields=fields)
        with pytest.raises(g.Unknown) as caught:
            yookassa.create_payment(a_month(), key="1")
        assert caught.value.code == "unreadable_answer"
        assert caught.value.detail.split()[0].split(".")[0] in fields
        made = yookassa.create_payment(a_month(), key="1")
        assert [payment["id"] for payment in books(sandbox)["payments"]] == [made.id]

    @pytest.mark.parametrize("saved", ["true", 1, None])
    def test_saved_is_true_and_nothing_like_it(
        self, sandbox: httpx.Client, yookassa: YooKassa, saved: object
    ) -> None:
        method = {"id": "1", "type": "bank_card", "saved": saved}
        order(sandbox, "change", "yookassa", fields={"payment_method": method})
        payment = yookassa.create_payment(a_month(), key="1")
        assert payment.method is not None
        assert payment.method.saved is False

    @pytest.mark.parametrize("title", [None, ""])
    def test_a_method_without_a_title(
        self, sandbox: httpx.Client, yookassa: YooKassa, title: str | None
    ) -> None:
        method = {"id": "1", "type": "sbp", "saved": True, "title": title}
        order(sandbox, "change", "yookassa", fields={"payment_method": method})
        payment = yookassa.create_payment(a_month(), key="1")
        assert payment.method == g.PaymentMethod(id="1", type="sbp", saved=True)

    def test_another_object_than_was_asked_for(
        self, sandbox: httpx.Client, yookassa: YooKassa
    ) -> None:
        payment = pay(sandbox, yookassa)
        part = g.NewRefund(payment=payment, amount=Decimal("1.00"))
        refund = yookassa.create_refund(part, key="2").id
        for fields, call in (
            ({"id": "1"}, lambda: yookassa.get_payment(payment)),
            ({"id": "1"}, lambda: yookassa.get_refund(refund)),
            ({"payment_id": "1"}, lambda: yookassa.create_refund(part, key="2")),
            (
                {"amount": {"value": "2.00", "currency": "RUB"}},
                lambda: yookassa.create_refund(part, key="2"),
            ),
        ):
            order(sandbox, "change", "yookassa", fields=fields)
            with pytest.raises(g.Unknown, match="unreadable_answer"):
                call()

    def test_a_page_instead_of_an_answer(self, sandbox: httpx.Client, yookassa: YooKassa) -> None:
        order(sandbox, "html", "yookassa")
        with pytest.raises(g.Unknown, match="no JSON"):
            yookassa.create_payment(a_month(), key="1")

    @pytest.mark.parametrize("items", [{"1": {}}, [1], [{"id": "1"}]])
    def test_a_list_that_is_none(
        self, sandbox: httpx.Client, yookassa: YooKassa, items: object
    ) -> None:
        order(sandbox, "change", "yookassa", fields={"items": items})
        now = datetime.now(UTC)
        with pytest.raises(g.Unknown, match="unreadable_answer"):
            list(yookassa.list_payments(created_gte=now, created_lt=now))


class TestConfigured:
    @pytest.fixture(autouse=True)
    def _afresh(self) -> Iterator[None]:
        configured.cache_clear()
        yield
        configured.cache_clear()

    def test_without_a_shop(self, settings: Any) -> None:
        settings.YOOKASSA_SHOP_ID = ""
        with pytest.raises(g.Unauthorized) as caught:
            g.open_gateway()
        assert caught.value.code == "not_configured"

    def test_with_one(self, settings: Any) -> None:
        settings.YOOKASSA_SHOP_ID, settings.YOOKASSA_SECRET_KEY = "100500", SECRET
        gateway = g.open_gateway()
        assert gateway.name == "yookassa"
        assert repr(gateway) == "<YooKassa shop 100500 at https://api.yookassa.ru/v3>"
        assert g.open_gateway() is gateway
