"""YooKassa's stand-in keeps to the reference: what it takes, answers, repeats and refuses."""

import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.in_process import InProcess
from tests.sandbox.requests import log, order
from tests.sandbox.yookassa import (
    API,
    RETURN_URL,
    SHOP,
    books,
    charge,
    create,
    direct,
    get,
    invalid,
    ok,
    paid,
    post,
    refund,
    saved_method,
    wish,
)

DAY = 24 * 3600


def in_process() -> httpx.Client:
    return httpx.Client(transport=InProcess(), base_url="http://sandbox")


@pytest.fixture
def shop() -> Iterator[httpx.Client]:
    with in_process() as client:
        yield client


class TestPayments:
    def test_a_new_one_waits_for_a_person(self, shop: httpx.Client) -> None:
        payment = create(shop)
        assert (payment["status"], payment["paid"]) == ("pending", False)
        assert payment["amount"] == {"value": "100.00", "currency": "RUB"}
        url = payment["confirmation"]["confirmation_url"]
        assert url == f"http://sandbox/yookassa/pay/{payment['id']}"
        assert payment["metadata"] == {"payment": "1"}
        assert "payment_method" not in payment
        assert ok(get(shop, f"/payments/{payment['id']}")) == payment

    def test_paid(self, shop: httpx.Client) -> None:
        payment = paid(shop)
        assert (payment["status"], payment["paid"], payment["refundable"]) == (
            "succeeded",
            True,
            True,
        )
        assert payment["captured_at"] >= payment["created_at"]
        assert payment["refunded_amount"]["value"] == "0.00"
        assert payment["payment_method"]["saved"] is False
        assert "confirmation" not in payment
        assert books(shop)["captured"] == "100.00"

    def test_declined(self, shop: httpx.Client) -> None:
        payment = direct(shop, f"_decline/{create(shop)['id']}", reason="3d_secure_failed")
        assert (payment["status"], payment["paid"]) == ("canceled", False)
        assert payment["cancellation_details"] == {
            "party": "payment_network",
            "reason": "3d_secure_failed",
        }
        assert books(shop)["captured"] == "0.00"

    @pytest.mark.parametrize(
        ("card", "reason"),
        [
            ("5555555555554600", "insufficient_funds"),
            ("5555555555554543", "card_expired"),
            ("5555555555554568", "fraud_suspected"),
            ("5555555555554501", "issuer_unavailable"),
        ],
    )
    def test_cards_that_are_declined(self, shop: httpx.Client, card: str, reason: str) -> None:
        identifier = create(shop, save_payment_method=True)["id"]
        payment = direct(shop, f"_pay/{identifier}", card=card)
        assert payment["cancellation_details"]["reason"] == reason
        assert payment["payment_method"]["saved"] is False

    def test_what_has_ended_stays_ended(self, shop: httpx.Client) -> None:
        payment = paid(shop)
        for path, body in (("_pay", {}), ("_decline", {"reason": "general_decline"})):
            answer = shop.post(f"/yookassa/{path}/{payment['id']}", json=body)
            assert answer.status_code == 409
        assert ok(get(shop, f"/payments/{payment['id']}")) == payment

    def test_given_up_after_an_hour(self, shop: httpx.Client) -> None:
        early, late = create(shop)["id"], create(shop)["id"]
        direct(shop, "_clock", seconds=3500)
        assert ok(get(shop, f"/payments/{early}"))["status"] == "pending"
        direct(shop, f"_pay/{late}")
        direct(shop, "_clock", seconds=200)
        payment = ok(get(shop, f"/payments/{early}"))
        assert payment["cancellation_details"] == {
            "party": "yoo_money",
            "reason": "expired_on_confirmation",
        }
        assert ok(get(shop, f"/payments/{late}"))["status"] == "succeeded"

    def test_without_capture_the_money_waits(self, shop: httpx.Client) -> None:
        captured, given_back, forgotten = (paid(shop, capture=None)["id"] for _ in range(3))
        waiting = ok(get(shop, f"/payments/{captured}"))
        assert (waiting["status"], waiting["paid"]) == ("waiting_for_capture", True)
        assert "captured_at" not in waiting
        invalid(refund(shop, captured, "1.00"), "payment_id")
        assert ok(post(shop, f"/payments/{captured}/capture", {}))["status"] == "succeeded"
        canceled = ok(post(shop, f"/payments/{given_back}/cancel", {}))
        assert canceled["cancellation_details"]["reason"] == "canceled_by_merchant"
        invalid(post(shop, f"/payments/{given_back}/capture", {}), "payment_id")
        direct(shop, "_clock", seconds=7 * DAY)
        lost = ok(get(shop, f"/payments/{forgotten}"))
        assert lost["cancellation_details"]["reason"] == "expired_on_capture"
        assert books(shop)["captured"] == "100.00"

    @pytest.mark.parametrize(
        ("fields", "parameter"),
        [
            ({"amount": {"value": 100, "currency": "RUB"}}, "amount"),
            ({"amount": {"value": "100", "currency": "RUB"}}, "amount"),
            ({"amount": {"value": "0.00", "currency": "RUB"}}, "amount"),
            ({"amount": {"value": "-1.00", "currency": "RUB"}}, "amount"),
            ({"amount": {"value": "1.00", "currency": "USD"}}, "amount"),
            ({"amount": None}, "amount"),
            ({"capture": "true"}, "capture"),
            ({"description": "x" * 129}, "description"),
            ({"metadata": {"a": 1}}, "metadata"),
            ({"metadata": {"a" * 33: "b"}}, "metadata"),
            ({"metadata": {"a": "b" * 513}}, "metadata"),
            ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
            ({"confirmation": {"type": "redirect", "return_url": "app://paid"}}, "confirmation"),
            ({"confirmation": None}, "confirmation"),
            ({"payment_method_id": "x"}, "confirmation"),
            ({"payment_method_id": "x", "confirmation": None}, "payment_method_id"),
            ({"captured": True}, "captured"),
            ({"receipt": {"customer": {}, "items": []}}, "receipt"),
        ],
    )
    def test_what_is_not_as_documented(
        self, shop: httpx.Client, fields: dict[str, Any], parameter: str
    ) -> None:
        invalid(post(shop, "/payments", wish(**fields)), parameter)
        assert books(shop)["payments"] == []

    @pytest.mark.parametrize(
        ("change", "parameter"),
        [
            ({}, None),
            ({"amount": {"value": "99.99", "currency": "RUB"}}, "receipt.items"),
            ({"vat_code": 13}, "receipt.items"),
            ({"description": "x" * 129}, "receipt.items"),
        ],
    )
    def test_receipts(
        self, shop: httpx.Client, change: dict[str, Any], parameter: str | None
    ) -> None:
        item = {
            "description": "A month",
            "quantity": "1.00",
            "amount": {"value": "100.00", "currency": "RUB"},
            "vat_code": 1,
            "payment_mode": "full_payment",
            "payment_subject": "service",
            **change,
        }
        receipt = {"customer": {"email": "eater@example.com"}, "items": [item]}
        answer = post(shop, "/payments", wish(receipt=receipt))
        if parameter is None:
            ok(answer)
            assert books(shop)["payments"][0]["receipt"] == receipt
        else:
            invalid(answer, parameter)

    def test_others_are_refused(self, shop: httpx.Client) -> None:
        invalid(get(shop, f"/payments/{uuid.uuid4()}"), "payment_id", 404)
        for auth in (None, ("", "secret"), ("100500", ""), ("shop", "secret")):
            answer = shop.get(f"{API}/payments", auth=auth)
            assert answer.status_code == 401
            assert answer.json()["code"] == "invalid_credentials"
        assert shop.delete(f"{API}/payments", auth=SHOP).status_code == 405
        form = shop.post(f"{API}/payments", data={}, auth=SHOP, headers={"Idempotence-Key": "1"})
        assert form.status_code == 415


class TestIdempotence:
    def test_the_same_again_is_the_same_as_it_is_now(self, shop: httpx.Client) -> None:
        first = ok(post(shop, "/payments", wish(), "key"))
        assert ok(post(shop, "/payments", wish(), "key")) == first
        direct(shop, f"_pay/{first['id']}")
        again = ok(post(shop, "/payments", wish(), "key"))
        assert (again["id"], again["status"]) == (first["id"], "succeeded")
        assert len(books(shop)["payments"]) == 1

    def test_a_day_later_it_is_new(self, shop: httpx.Client) -> None:
        first = ok(post(shop, "/payments", wish(), "key"))
        direct(shop, "_clock", seconds=DAY - 60)
        assert ok(post(shop, "/payments", wish(), "key"))["id"] == first["id"]
        direct(shop, "_clock", seconds=60)
        assert ok(post(shop, "/payments", wish(), "key"))["id"] != first["id"]
        assert len(books(shop)["payments"]) == 2

    def test_one_key_is_for_one_request(self, shop: httpx.Client) -> None:
        payment = paid(shop)
        ok(post(shop, "/payments", wish(), "key"))
        invalid(post(shop, "/payments", wish("100.01"), "key"), "Idempotence-Key")
        amount = {"value": "1.00", "currency": "RUB"}
        other = post(shop, "/refunds", {"payment_id": payment["id"], "amount": amount}, "key")
        invalid(other, "Idempotence-Key")
        assert books(shop)["refunded"] == "0.00"

    def test_an_error_is_a_result(self, shop: httpx.Client) -> None:
        body = wish(payment_method_id="x", confirmation=None)
        invalid(post(shop, "/payments", body, "key"), "payment_method_id")
        invalid(post(shop, "/payments", body, "key"), "payment_method_id")
        invalid(post(shop, "/payments", wish(), "key"), "Idempotence-Key")

    @pytest.mark.parametrize("key", ["", "k" * 65])
    def test_a_key_is_needed(self, shop: httpx.Client, key: str) -> None:
        headers = {"Idempotence-Key": key}
        answer = shop.post(f"{API}/payments", json=wish(), auth=SHOP, headers=headers)
        invalid(answer, "Idempotence-Key")

    def test_made_although_nobody_was_told(self, shop: httpx.Client) -> None:
        order(shop, "status", "yookassa", status=500, heard=True)
        assert post(shop, "/payments", wish(), "key").status_code == 500
        assert len(books(shop)["payments"]) == 1
        made = ok(post(shop, "/payments", wish(), "key"))
        assert [payment["id"] for payment in books(shop)["payments"]] == [made["id"]]

    @pytest.mark.parametrize("kind", ["status", "timeout", "reset"])
    def test_not_made(self, shop: httpx.Client, kind: str) -> None:
        more = {"status": 500} if kind == "status" else {}
        order(shop, kind, "yookassa", heard=False, **more)
        try:
            assert post(shop, "/payments", wish(), "key").status_code == 500
        except httpx.TransportError:
            assert kind != "status"
        assert books(shop)["payments"] == []
        assert log(shop, "yookassa")[-1]["headers"]["idempotence-key"] == "key"


class TestSavedMethods:
    def test_charged_without_a_person(self, shop: httpx.Client) -> None:
        method = saved_method(shop)
        payment = charge(shop, method, "299.00")
        assert payment["status"] == "succeeded"
        assert payment["payment_method"]["id"] == method
        assert payment["payment_method"]["saved"] is True
        assert books(shop)["captured"] == "399.00"

    def test_not_saved_unless_asked_and_agreed(self, shop: httpx.Client) -> None:
        unasked = paid(shop)
        declined = create(shop, save_payment_method=True)["id"]
        disagreed = direct(shop, f"_pay/{declined}", agrees=False)
        for payment in (unasked, disagreed):
            assert payment["payment_method"]["saved"] is False
            body = wish(payment_method_id=payment["payment_method"]["id"], confirmation=None)
            invalid(post(shop, "/payments", body), "payment_method_id")

    def test_declined_by_order(self, shop: httpx.Client) -> None:
        good, bad = saved_method(shop), saved_method(shop)
        direct(shop, "_charges", method=bad, reason="permission_revoked")
        reasons = [
            charge(shop, method).get("cancellation_details", {}).get("reason")
            for method in (good, bad, bad)
        ]
        assert reasons == [None, "permission_revoked", "permission_revoked"]
        direct(shop, "_charges", method=bad)
        assert charge(shop, bad)["status"] == "succeeded"

    def test_of_all_but_the_one_decided_for_itself(self, shop: httpx.Client) -> None:
        one, other = saved_method(shop), saved_method(shop)
        direct(shop, "_charges", reason="insufficient_funds")
        direct(shop, "_charges", method=one)
        assert charge(shop, one)["status"] == "succeeded"
        assert charge(shop, other)["status"] == "canceled"

    def test_pending_first(self, shop: httpx.Client) -> None:
        method = saved_method(shop)
        direct(shop, "_charges", pending=True)
        good, bad = charge(shop, method), charge(shop, method)
        assert good["status"] == bad["status"] == "pending"
        assert "confirmation" not in good
        assert direct(shop, f"_pay/{good['id']}")["status"] == "succeeded"
        direct(shop, f"_decline/{bad['id']}", reason="internal_timeout")
        direct(shop, "_clock", seconds=2 * 3600)
        assert books(shop)["captured"] == "200.00"


class TestRefunds:
    def test_in_parts_and_never_more_than_was_paid(self, shop: httpx.Client) -> None:
        payment = paid(shop)["id"]
        assert ok(refund(shop, payment, "30.00"))["status"] == "succeeded"
        invalid(refund(shop, payment, "70.01"), "amount")
        ok(refund(shop, payment, "70.00"))
        invalid(refund(shop, payment, "0.01"), "amount")
        after = ok(get(shop, f"/payments/{payment}"))
        assert (after["refunded_amount"]["value"], after["refundable"]) == ("100.00", False)
        assert books(shop)["refunded"] == "100.00"

    def test_a_pending_one_holds_its_money(self, shop: httpx.Client) -> None:
        payment = paid(shop)["id"]
        direct(shop, "_refunds", pending=True)
        pending = ok(refund(shop, payment, "60.00"))
        assert pending["status"] == "pending"
        invalid(refund(shop, payment, "60.00"), "amount")
        assert ok(get(shop, f"/payments/{payment}"))["refunded_amount"]["value"] == "0.00"
        direct(shop, f"_settle/{pending['id']}")
        assert ok(get(shop, f"/refunds/{pending['id']}"))["status"] == "succeeded"
        assert ok(get(shop, f"/payments/{payment}"))["refunded_amount"]["value"] == "60.00"

    def test_a_canceled_one_gives_nothing_back(self, shop: httpx.Client) -> None:
        payment = paid(shop)["id"]
        direct(shop, "_refunds", reason="insufficient_funds")
        canceled = ok(refund(shop, payment, "100.00"))
        assert canceled["cancellation_details"]["reason"] == "insufficient_funds"
        direct(shop, "_refunds")
        ok(refund(shop, payment, "100.00"))

    def test_of_what_was_not_paid(self, shop: httpx.Client) -> None:
        invalid(refund(shop, create(shop)["id"], "1.00"), "payment_id")
        invalid(refund(shop, str(uuid.uuid4()), "1.00"), "payment_id")
        invalid(get(shop, f"/refunds/{uuid.uuid4()}"), "refund_id", 404)


class TestListing:
    def test_pages_newest_first_while_others_are_made(self, shop: httpx.Client) -> None:
        made = [create(shop)["id"] for _ in range(25)]
        found: list[str] = []
        query: dict[str, str] = {"limit": "10"}
        while True:
            page = ok(get(shop, "/payments", **query))
            found += [payment["id"] for payment in page["items"]]
            if "next_cursor" not in page:
                break
            query["cursor"] = page["next_cursor"]
            create(shop)
        assert found == made[::-1]

    def test_exactly_full_page_is_the_last(self, shop: httpx.Client) -> None:
        for _ in range(10):
            create(shop)
        page = ok(get(shop, "/payments"))
        assert len(page["items"]) == 10
        assert "next_cursor" not in page

    def test_by_time_of_creation(self, shop: httpx.Client) -> None:
        payments = []
        for _ in range(3):
            payments.append(create(shop))
            direct(shop, "_clock", seconds=60)
        times = [payment["created_at"] for payment in payments]

        def found(**bounds: str) -> list[int]:
            query = {f"created_at.{name}": text for name, text in bounds.items()}
            items = ok(get(shop, "/payments", **query))["items"]
            return [times.index(item["created_at"]) for item in items]

        assert found(gte=times[1]) == [2, 1]
        assert found(gt=times[1]) == [2]
        assert found(gte=times[0], lt=times[2]) == [1, 0]
        assert found(lte=times[1]) == [1, 0]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("limit", "0"),
            ("limit", "101"),
            ("cursor", "elsewhere"),
            ("created_at.gte", "yesterday"),
            ("created_at.gte", "2026-01-01T00:00:00"),
            ("order", "asc"),
        ],
    )
    def test_nonsense(self, shop: httpx.Client, name: str, value: str) -> None:
        invalid(get(shop, "/payments", **{name: value}), name)


class TestPage:
    def test_pay(self, client: httpx.Client) -> None:
        payment = create(client, "1299.00", save_payment_method=True)
        url = payment["confirmation"]["confirmation_url"]
        page = client.get(url)
        assert page.headers["Content-Type"].startswith("text/html")
        assert "1 299.00" in page.text
        assert payment["description"] in page.text
        form = {"action": "pay", "card": "5555555555554477", "agrees": "on"}
        answer = client.post(url, data=form)
        assert (answer.status_code, answer.headers["Location"]) == (303, RETURN_URL)
        after = ok(get(client, f"/payments/{payment['id']}"))
        assert after["status"] == "succeeded"
        assert after["payment_method"]["saved"] is True
        again = client.post(url, data=form)
        assert again.status_code == 200
        assert "Back to the shop" in again.text
        assert books(client)["captured"] == "1299.00"

    def test_decline(self, client: httpx.Client) -> None:
        url = create(client)["confirmation"]["confirmation_url"]
        form = {"action": "decline", "reason": "insufficient_funds"}
        assert client.post(url, data=form).status_code == 303
        assert "insufficient funds" in client.get(url).text

    def test_says_what_it_was_given_and_runs_none_of_it(self, client: httpx.Client) -> None:
        script = "<script>alert(1)</script>"
        confirmation = {"type": "redirect", "return_url": 'https://a.example/"><script>'}
        payment = create(client, description=script, confirmation=confirmation)
        url = payment["confirmation"]["confirmation_url"]
        direct(client, f"_decline/{payment['id']}", reason="general_decline")
        assert "<script>" not in client.get(url).text

    def test_is_no_call_of_the_api(self, client: httpx.Client) -> None:
        payment = create(client)
        order(client, "status", "yookassa", status=500)
        assert client.get(payment["confirmation"]["confirmation_url"]).status_code == 200
        assert [entry["path"] for entry in log(client, "yookassa")] == [f"{API}/payments"]
        assert get(client, "/payments").status_code == 500

    def test_of_nothing(self, client: httpx.Client) -> None:
        assert client.get("/yookassa/pay/nothing").status_code == 404


class TestDirections:
    @pytest.mark.parametrize(
        ("path", "body", "said"),
        [
            ("_clock", {}, "seconds"),
            ("_clock", {"seconds": -1}, "from 0"),
            ("_charges", {"reason": "bored"}, "insufficient_funds"),
            ("_charges", {"until": 1}, "method, reason, pending"),
            ("_refunds", {"pending": 1}, "true or false"),
            ("_notifications", {"mode": "lose"}, "send, hold, drop"),
            ("_flush", {"order": "random"}, "shuffled"),
            ("_forge", {"event": "payment.succeeded"}, "object"),
        ],
    )
    def test_nonsense(self, shop: httpx.Client, path: str, body: dict[str, Any], said: str) -> None:
        answer = shop.post(f"/yookassa/{path}", json=body)
        assert answer.status_code == 422
        assert said in answer.json()["description"]

    def test_reset_forgets_all_but_the_time(self, shop: httpx.Client) -> None:
        paid(shop)
        now = direct(shop, "_clock", seconds=10 * DAY)["now"]
        direct(shop, "_charges", reason="card_expired")
        direct(shop, "_reset")
        state = books(shop)
        assert (state["payments"], state["methods"], state["captured"]) == ([], [], "0.00")
        assert state["now"][:13] >= now[:13]
        assert charge(shop, saved_method(shop))["status"] == "succeeded"


@given(
    amounts=st.lists(st.integers(1, 100_000), min_size=1, max_size=4),
    refunds=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 100_000)), max_size=12),
)
def test_no_payment_gives_back_more_than_it_took(
    amounts: list[int], refunds: list[tuple[int, int]]
) -> None:
    with in_process() as shop:
        payments = [paid(shop, f"{amount / 100:.2f}")["id"] for amount in amounts]
        left = list(amounts)
        for which, kopecks in refunds:
            which %= len(payments)
            answer = refund(shop, payments[which], f"{kopecks / 100:.2f}")
            assert (answer.status_code == 200) == (kopecks <= left[which])
            left[which] -= kopecks if answer.status_code == 200 else 0
        state = books(shop)
        kept = Decimal(state["captured"]) - Decimal(state["refunded"])
        assert kept == Decimal(sum(left)) / 100
        for payment in state["payments"]:
            assert Decimal(payment["refunded"]) <= Decimal(payment["captured"])
