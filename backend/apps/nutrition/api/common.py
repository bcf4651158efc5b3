"""What the routes of this app share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404
from django.utils.translation import get_language
from ninja import Header, Query

from config.problems import BODY_PROBLEMS, ProblemOut

READS = {401: ProblemOut, 422: ProblemOut}
WRITES = {401: ProblemOut, **BODY_PROBLEMS}

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=64,
        pattern=r"^[!-~]+$",
        description="Any text of your making. The same key with the same content is answered "
        "with the same meal, whatever got lost on the way; with other content it is refused.",
        examples=["5f9d1f1e-6f0a-4c53-9c55-6f4f0f6f9a57"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=50, description="At most so many")]


@contextmanager
def missing_is_404() -> Iterator[None]:
    """What is not there, or is another's, is answered alike."""
    try:
        yield
    except ObjectDoesNotExist:
        raise Http404 from None


def spoken() -> str:
    """The language of the answer: "ru" or "en"."""
    return "en" if (get_language() or "").startswith("en") else "ru"
