"""Answering over HTTP what is refused, in the words of `apps.ai.problems`."""

from collections.abc import Iterator
from contextlib import contextmanager

from apps.ai.photo_store import PhotoStoreAway
from apps.ai.pictures import BadPicture, PicturesBusy
from apps.ai.problems import TROUBLES, Refused
from config.problems import Problem


@contextmanager
def refusals_as_problems() -> Iterator[None]:
    """Whatever a request can be refused for becomes a Problem."""
    try:
        yield
    except (Refused, BadPicture) as error:
        refused = Refused(error.code, retry_after=getattr(error, "retry_after", None))
    except PicturesBusy:
        refused = Refused("pictures_busy")
    except PhotoStoreAway:
        refused = Refused("photo_store_away")
    else:
        return
    trouble = TROUBLES[refused.code]
    raise Problem(
        trouble.status or 500,
        refused.code,
        str(trouble.title),
        str(trouble.detail),
        actions=trouble.actions,
        retryable=trouble.retryable,
        retry_after=refused.retry_after or trouble.retry_after,
    )
