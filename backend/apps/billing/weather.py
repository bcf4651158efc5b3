"""How a job lives through a provider that is slow, away or cross: it waits, and loses nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.utils import timezone

from apps.billing.gateway import GatewayError, NotThere, Refused, TooMany, Unauthorized
from apps.jobs.errors import NotYet, Permanent
from apps.messaging.services import tell_administrators

# The provider knows a key for 24 hours; later it would take it for a new request.
KEY_LIVES = timedelta(hours=23, minutes=30)
LONGEST_OPEN = timedelta(days=7)
FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(hours=1)


def poll_pause(since: datetime) -> timedelta:
    """Pauses that grow with the age of what is waited for, to an hour."""
    age = timezone.now() - since
    return min(max(FIRST_PAUSE, age / 5), LONGEST_PAUSE)


@contextmanager
def waiting_for_provider(*, since: datetime) -> Iterator[None]:
    """Turns every error that another time may mend into NotYet; Refused goes through.

    After a week a person is asked.
    """
    try:
        yield
        return
    except Refused:
        raise
    except NotThere as error:
        raise Permanent("absent_there", str(error)) from None
    except GatewayError as error:
        code = error.code
        pause = poll_pause(since)
        if isinstance(error, TooMany):
            pause = max(pause, error.after)
        if isinstance(error, Unauthorized):
            day = timezone.now().date()
            tell_administrators(
                text=f"Billing: the provider does not let us in ({error}).",
                key=f"billing:unauthorized:{day}",
            )
    if timezone.now() - since > LONGEST_OPEN:
        raise need_a_person(f"what began {since:%Y-%m-%d}", f"is still open ({code})")
    raise NotYet(code, pause)


def need_a_person(what: str, why: str) -> Permanent:
    """Ends a job as a dead letter that says what to look at; administrators are told."""
    text = f"{what}: {why}"
    tell_administrators(
        text=f"Billing: {text}. See docs/BILLING.md.", key=f"billing:attention:{what}"
    )
    return Permanent("needs_attention", text)
