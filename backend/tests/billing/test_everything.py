"""Any interleaving of what people, the provider, time and death can do adds up in the end.

Everything happens inside one transaction per example, so the database's part in concurrency is
not here but in test_concurrency.py and test_flood.py; killed workers are, at any statement and
around any call.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.db import connection, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from apps.accounts.models import User
from apps.billing import subscriptions as wishes
from apps.billing.audit import audit
from apps.billing.checkout import CheckoutRefused, start_binding, start_checkout
from apps.billing.models import Customer, Entry, Finding, Payment, Refund, Subscription, Term
from apps.billing.plans import ensure_catalogue, version_for_sale
from apps.billing.queries import allowance_of
from apps.billing.reconciliation import reconcile
from apps.billing.refunds import NotRefundable, request_refund
from apps.billing.settling import give_up_payment
from apps.billing.subscriptions import GRACE, NotPossible
from apps.jobs.errors import Temporary
from apps.jobs.models import Job
from apps.jobs.services import retry_dead_letter
from tests.billing.shop import BEGINNING, JOBS, Shop, open_shop
from tests.http import make_user

PEOPLE = 2
REASONS = ["insufficient_funds", "card_expired", "issuer_unavailable"]
EXPECTED_FINDINGS = {"paid_without_user", "refund_failed"}

who = st.integers(0, PEOPLE - 1)
some = st.integers(0, 7)
deaths = (
    st.none()
    | st.tuples(st.just("statement"), st.integers(0, 40))
    | st.tuples(st.sampled_from(["before the call", "after the answer"]), st.just(0))
)


class Killed(BaseException):
    """The process is gone: nothing after it runs."""


class Deadly(httpx.BaseTransport):
    """The wire of a worker that dies around its next call."""

    def __init__(self, wire: httpx.BaseTransport) -> None:
        self._wire = wire
        self.at = ""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        at, self.at = self.at, ""
        if at == "before the call":
            raise Killed
        answer = self._wire.handle_request(request)
        if at == "after the answer":
            raise Killed
        return answer


class Everything(RuleBasedStateMachine):
    monkeypatch: pytest.MonkeyPatch

    def __init__(self) -> None:
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()
        self._open = open_shop(self.monkeypatch)
        self.shop: Shop = self._open.__enter__()
        self.wire = Deadly(self.shop.wire)
        self.shop.gateway._http._transport = self.wire
        ensure_catalogue()
        self.people: list[User | None] = [make_user() for _ in range(PEOPLE)]
        self.given_up: set[Any] = set()

    def teardown(self) -> None:
        try:
            self._become_quiet()
            self._add_up()
        finally:
            self._open.__exit__(None, None, None)
            transaction.set_rollback(True)
            self._transaction.__exit__(None, None, None)

    # What people do

    @rule(person=who, plan=st.sampled_from(["month", "year"]), saves=st.booleans(), death=deaths)
    def check_out(self, person: int, plan: str, saves: bool, death: Any) -> None:
        self._wish(
            person,
            lambda user: start_checkout(user=user, plan=plan, automatic_renewal=saves),
            death,
        )

    @rule(person=who, death=deaths)
    def try_it(self, person: int, death: Any) -> None:
        self._wish(person, lambda user: start_checkout(user=user, plan="month", trial=True), death)

    @rule(person=who, death=deaths)
    def bind(self, person: int, death: Any) -> None:
        self._wish(person, lambda user: start_binding(user=user), death)

    @rule(which=some, agrees=st.booleans())
    def pay(self, which: int, agrees: bool) -> None:
        if payment := self._pick(self._booked("pending"), which):
            self.shop.pay(payment["id"], agrees=agrees)

    @rule(which=some, reason=st.sampled_from(REASONS))
    def decline(self, which: int, reason: str) -> None:
        if payment := self._pick(self._booked("pending"), which):
            self.shop.decline(payment["id"], reason)

    @rule(
        person=who, death=deaths, what=st.sampled_from(["cancel", "resume", "on", "off", "unbind"])
    )
    def change(self, person: int, what: str, death: Any) -> None:
        actions: dict[str, Callable[[User], object]] = {
            "cancel": lambda user: wishes.cancel_subscription(user=user),
            "resume": lambda user: wishes.resume_subscription(user=user),
            "on": lambda user: wishes.set_automatic_renewal(user=user, on=True),
            "off": lambda user: wishes.set_automatic_renewal(user=user, on=False),
            "unbind": lambda user: wishes.unbind_method(user=user),
        }
        self._wish(person, actions[what], death)

    @rule(person=who, plan=st.sampled_from(["month", "year"]))
    def choose_next_plan(self, person: int, plan: str) -> None:
        version = version_for_sale(code=plan)
        self._wish(person, lambda user: wishes.set_next_plan(user=user, version=version), None)

    @rule(person=st.just(PEOPLE - 1))
    def leave(self, person: int) -> None:
        user = self.people[person]
        if user is not None:
            wishes.erase_billing(user)
            user.delete()
            self.people[person] = None

    @rule(which=some, share=st.sampled_from([1, 2, 3]), times=st.integers(1, 2))
    def refund(self, which: int, share: int, times: int) -> None:
        payment = self._pick(list(Payment.objects.filter(state="succeeded").order_by("pk")), which)
        for _ in range(times if payment else 0):
            amount = (payment.amount / share).quantize(Decimal("0.01"))
            try:
                request_refund(payment_id=payment.pk, amount=amount, why="asked", by="anna")
            except NotRefundable:
                continue

    # What the provider does

    @rule(reason=st.sampled_from(["", "", *REASONS]), pending=st.booleans())
    def decide_charges(self, reason: str, pending: bool) -> None:
        self.shop.charges(reason=reason, pending=pending)

    @rule(pending=st.booleans(), reason=st.sampled_from(["", "", "general_decline"]))
    def decide_refunds(self, pending: bool, reason: str) -> None:
        self.shop.refunds(pending=pending, reason=reason)

    @rule(
        kind=st.sampled_from(["status", "timeout", "reset", "html"]),
        heard=st.booleans(),
        times=st.integers(1, 4),
    )
    def stumble(self, kind: str, heard: bool, times: int) -> None:
        more: dict[str, Any] = {"status": 500} if kind == "status" else {}
        if kind != "html":  # an answer, so it was heard
            more["heard"] = heard
        self.shop.fault(kind, times=times, **more)

    @rule(which=some, times=st.integers(1, 2))
    def notify(self, which: int, times: int) -> None:
        """Truly, doubled or late; those that nobody is told of are lost."""
        ended = [*self._booked("succeeded"), *self._booked("canceled")]
        if payment := self._pick(ended, which):
            for _ in range(times):
                assert (
                    self.shop.notify(f"payment.{payment['status']}", payment["id"]).status_code
                    == 200
                )
            for refund in payment["refunds"]:
                self.shop.notify("refund.succeeded", refund["id"])

    @rule(which=some, stranger=st.booleans())
    def forge(self, which: int, stranger: bool) -> None:
        """What is not true, from the provider's own address or not."""
        if payment := self._pick(self._booked("pending", "canceled"), which):
            sender = "203.0.113.7" if stranger else "185.71.76.1"
            amount = {"value": "1000000.00", "currency": "RUB"}
            answer = self.shop.notify(
                "payment.succeeded", payment["id"], sender=sender, status="succeeded", amount=amount
            )
            assert answer.status_code == (403 if stranger else 200)

    # What time and death do

    @rule(hours=st.sampled_from([0.01, 0.2, 1.1, 7, 25, 100, 500]))
    def pass_time(self, hours: float) -> None:
        self.shop.pass_time(timedelta(hours=hours))

    @rule(death=deaths)
    def work(self, death: Any) -> None:
        with self._dying(death):
            self.shop.work(rounds=2)

    @rule(death=deaths)
    def reconcile(self, death: Any) -> None:
        with self._dying(death), suppress(Temporary):
            reconcile()

    # How it is done

    def _wish(self, person: int, wish: Callable[[User], object], death: Any) -> None:
        user = self.people[person]
        if user is None:
            return
        with self._dying(death), suppress(CheckoutRefused, NotPossible):
            wish(user)

    @contextmanager
    def _dying(self, death: Any) -> Iterator[None]:
        """Die at that point inside, if it is reached: a statement, or around a call."""
        left = [death[1]] if death and death[0] == "statement" else []

        def count(execute: Any, *arguments: Any) -> Any:
            if left:
                left[0] -= 1
                if left[0] < 0:
                    left.clear()
                    raise Killed
            return execute(*arguments)

        self.wire.at = death[0] if death and not left else ""
        try:
            with connection.execute_wrapper(count):
                yield
        except Killed:
            pass
        finally:
            self.wire.at = ""

    def _booked(self, *statuses: str) -> list[dict[str, Any]]:
        return [one for one in self.shop.books()["payments"] if one["status"] in statuses]

    @staticmethod
    def _pick(among: Any, which: int) -> Any:
        return among[which % len(among)] if among else None

    # How it ends

    def _become_quiet(self) -> None:
        """Nothing fails any more, nobody asks for anything, and a person looks after the rest."""
        shop = self.shop
        shop.clear_faults()
        shop.charges()
        shop.refunds()
        for user in self.people:
            if user is not None:
                self._wish(
                    self.people.index(user),
                    lambda one: wishes.set_automatic_renewal(user=one, on=False),
                    None,
                )
        for _ in range(12):
            for payment in self._booked("pending"):
                shop.pay(payment["id"])
            for payment in shop.books()["payments"]:
                for refund in payment["refunds"]:
                    if refund["status"] == "pending":
                        shop._direct(f"/_settle/{refund['id']}", {})
            shop.live(timedelta(hours=13))
            self._look_after_dead_letters()
            if not any(
                model._default_manager.filter(status__in=(*Job.OPEN, Job.Status.FAILED)).exists()
                for model, _ in JOBS
            ):
                break
        reconcile(looks_back=shop.now - BEGINNING + timedelta(days=1))
        shop.live(timedelta(hours=1))

    def _look_after_dead_letters(self) -> None:
        known = {one["metadata"].get("payment") for one in self.shop.books()["payments"]}
        for payment in Payment.objects.filter(status=Job.Status.FAILED):
            if payment.error_code == "needs_attention" and str(payment.pk) not in known:
                assert give_up_payment(payment=payment, by="anna")
                self.given_up.add(payment.pk)
            retry_dead_letter(job=payment, by="anna")
        for model, _ in JOBS[1:]:
            for job in model._default_manager.filter(status=Job.Status.FAILED):
                retry_dead_letter(job=job, by="anna")

    def _add_up(self) -> None:
        for model, _ in JOBS:
            stuck = model._default_manager.exclude(status=Job.Status.DONE)
            assert not stuck.exists(), list(stuck.values("status", "error_code", "last_error"))
        assert list(audit()) == []
        assert {finding.kind for finding in Finding.objects.all()} <= EXPECTED_FINDINGS
        # The provider's money is the ledger's money is what was granted for it, to the kopeck.
        moved = Entry.objects.filter(kind__in=("charged", "refunded"))
        assert self.shop.earned() == (moved.aggregate(sum=Sum("amount"))["sum"] or 0)
        held = Customer.objects.aggregate(sum=Sum("balance"))["sum"] or 0
        assert held == (Entry.objects.aggregate(sum=Sum("amount"))["sum"] or 0)
        booked = {one["metadata"]["payment"]: one for one in self.shop.books()["payments"]}
        for payment in Payment.objects.all():
            there = booked.pop(str(payment.pk), None)
            assert payment.state == (there["status"] if there else "given_up"), payment.pk
            refunds = payment.refunds.filter(state="succeeded").aggregate(sum=Sum("amount"))
            given_back = Decimal(there["refunded"]) if there else 0
            assert (refunds["sum"] or 0) == given_back <= payment.amount
            # None paid and left without.
            bought = payment.kind in ("checkout", "renewal") and payment.state == "succeeded"
            assert hasattr(payment, "term") or not bought
        assert booked == {}
        # None is charged twice for a period: neither by us nor at the provider.
        periods = Counter(
            Payment.objects.filter(kind="renewal", state="succeeded").values_list(
                "subscription", "period"
            )
        )
        assert not [period for period, times in periods.items() if times > 1]
        for user in filter(None, self.people):
            self._is_served_what_was_paid(user)

    def _is_served_what_was_paid(self, user: User) -> None:
        subscription = Subscription.objects.filter(customer__user=user).first()
        if subscription is None:
            assert allowance_of(user=user).plan == "free"
            return
        until = subscription.paid_until
        for term in Term.objects.filter(subscription=subscription):
            granted = term.payment.kind == "trial" or term.payment.state == "succeeded"
            assert granted
            if term.begins < term.ends and term.ends > self.shop.now:
                middle = term.begins + (term.ends - term.begins) / 2
                assert allowance_of(user=user, at=middle).plan == term.version.plan_id
        assert allowance_of(user=user, at=until + GRACE).plan == "free"
        if not subscription.automatic_renewal:
            assert allowance_of(user=user, at=until).plan == "free"
        assert (subscription.state == "expired") == (until <= self.shop.now)
        assert not Refund.objects.filter(state="pending").exists()


# No transaction around all examples: what they leave behind would slow the later ones down.
@pytest.mark.django_db(transaction=True)
def test_whatever_happens_it_adds_up(monkeypatch: pytest.MonkeyPatch, long: bool) -> None:
    Everything.monkeypatch = monkeypatch
    run_state_machine_as_test(
        Everything,
        settings=settings(
            max_examples=2000 if long else 100,
            stateful_step_count=25,
            # What fails is told as it was found: to make it smaller would take many minutes.
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
