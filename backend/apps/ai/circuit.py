"""A fuse before the provider: while it is dead, asking it costs a query and not a time-out.

One row a provider, so that all processes know the same. THRESHOLD failures in a row open the
circuit for PAUSE. Then whoever comes first probes, alone for as long as a call may take; an
answer closes the circuit. A probe that dies leaves its turn to the next.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from apps.ai.models import Circuit
from apps.ai.providers import Unavailable
from apps.jobs.errors import JobError, NotYet
from apps.jobs.worker import meanwhile

THRESHOLD = 5
PAUSE = timedelta(seconds=30)
PROBE = timedelta(seconds=60)
"""Longer than AI_TIMEOUT_SECONDS may be."""
LOOK_AGAIN = timedelta(seconds=10)


def enter(name: str) -> None:
    """Go ahead, or raise NotYet where the circuit is open."""
    row = (
        Circuit.objects.filter(pk=name, failures__gte=THRESHOLD)
        .annotate(left=ExpressionWrapper(F("open_until") - Now(), DurationField()))
        .first()
    )
    if row is None:
        return
    mine = Circuit.objects.filter(pk=name, open_until__lte=Now()).update(open_until=Now() + PROBE)
    if not mine:
        # Sooner than the probe's whole turn: most probes end well before.
        raise NotYet("provider_away", after=min(max(row.left, timedelta(seconds=1)), LOOK_AGAIN))


@contextmanager
def watching(name: str) -> Iterator[None]:
    """Learn from how a call ends. Any answer, a refusal too, says that the provider is there."""
    try:
        yield
    except Unavailable:
        meanwhile(lambda: record_failure(name))
        raise
    except JobError:
        meanwhile(lambda: record_answer(name))
        raise
    meanwhile(lambda: record_answer(name))


def record_failure(name: str) -> None:
    """The provider did not serve."""
    Circuit.objects.get_or_create(pk=name)
    Circuit.objects.filter(pk=name).update(failures=F("failures") + 1)
    Circuit.objects.filter(pk=name, failures__gte=THRESHOLD).update(open_until=Now() + PAUSE)


def record_answer(name: str) -> None:
    """The provider answered, whatever it said."""
    Circuit.objects.filter(pk=name, failures__gt=0).update(failures=0, open_until=None)
