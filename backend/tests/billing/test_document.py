"""docs/BILLING.md says what the code does: both machines, every finding, every reason to look."""

import re

import pytest
from django.utils import timezone

from apps.billing.models import Entry, Finding, Payment, Subscription
from apps.billing.subscriptions import TRANSITIONS, Event, NotPossible, move
from tests.processes import ROOT

DOCUMENT = (ROOT / "docs/BILLING.md").read_text()
ARROW = re.compile(r"^ +(\S+) --> (\S+): (.+)$", re.MULTILINE)


def diagram(heading: str) -> list[tuple[str, str, str]]:
    """Arrows of the diagram under the heading: from, to, what stands at it."""
    section = DOCUMENT.split(f"## {heading}\n")[1]
    arrows = ARROW.findall(section.partition("```mermaid")[2].partition("```")[0])
    assert arrows
    return arrows


def test_the_subscriptions_machine_is_the_one_in_the_document() -> None:
    drawn = {
        (None if before == "[*]" else Subscription.State(before), Event(event)): after
        for before, after, events in diagram("The subscription")
        for event in events.split(", ")
    }
    assert drawn == TRANSITIONS


def test_a_payments_states_are_those_in_the_document() -> None:
    states = {
        state for before, after, _ in diagram("The life of a payment") for state in (before, after)
    }
    assert states - {"[*]"} == set(Payment.State)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", [None, *Subscription.State])
def test_what_is_not_drawn_does_not_happen(state: Subscription.State | None, event: Event) -> None:
    subscription = Subscription(state=state or "", automatic_renewal=True)
    if (state, event) in TRANSITIONS:
        move(subscription, event, at=timezone.now())
        assert subscription.state == TRANSITIONS[state, event]
        return
    with pytest.raises(NotPossible):
        move(subscription, event, at=timezone.now())
    assert subscription.state == (state or "")


def test_every_finding_has_its_remedy() -> None:
    table = DOCUMENT.partition("## When something is reported")[2]
    explained = {
        name
        for line in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", line)
    }
    assert set(Finding.Kind) <= explained
    assert {"needs_attention", "absent_there", "contradicted"} <= explained


def test_every_kind_of_entry_is_explained() -> None:
    table = DOCUMENT.partition("## The ledger")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(Entry.Kind)
