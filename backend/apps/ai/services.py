"""What changes recognitions: requested, recognised, canceled, accepted."""

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from decimal import Decimal
from functools import partial
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import DurationField, ExpressionWrapper
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils import timezone

from apps.accounts.models import User
from apps.ai import circuit
from apps.ai.models import Photo, ProviderCall, Recognition, RecognizedItem
from apps.ai.photos import attach_photos, drop_pictures, keep_pictures, load_pictures
from apps.ai.pictures import Picture
from apps.ai.problems import Refused
from apps.ai.providers import (
    Answer,
    Call,
    Provider,
    chosen_model,
    chosen_provider,
    is_paid,
)
from apps.ai.quota import check_quota, check_spending
from apps.jobs.errors import NotYet, Permanent, Temporary
from apps.jobs.services import CANCELED, cancel_job, record_done_job, submit_job
from apps.jobs.worker import meanwhile
from apps.messaging.services import tell_administrators
from apps.nutrition.models import NUTRIENTS, Meal
from apps.nutrition.services import Portion, create_meal

PATIENCE = timedelta(minutes=10)
"""How long a meal waits for a provider that is away. Nobody wants the answer later."""

SURE = Decimal("0.5")
TURNED_AWAY = {
    "provider_out_of_credit": "The account at the AI provider is out of credit: {host}",
    "provider_refused": "The AI provider refuses our key: {host}",
}
ITEM_FIELDS = ("name", "grams", *NUTRIENTS)


def request_recognition(
    *,
    user: User,
    text: str,
    language: str,
    pictures: Sequence[Picture] = (),
    idempotency_key: str | None = None,
) -> Recognition:
    """Accept what is to be recognised; a worker on queue `ai` will do it.

    The same key again is the same recognition. What was answered before, to the same user, is
    answered again at once, and costs nothing. Raises Refused and PhotoStoreAway.
    """
    hashes = [picture.sha256 for picture in pictures]
    content = hashlib.sha256(json.dumps([language, text, hashes]).encode()).hexdigest()
    recognition = Recognition(
        user=user, text=text, language=language, content=content, idempotency_key=idempotency_key
    )
    photos = keep_pictures(pictures)
    accepted = None
    try:
        with transaction.atomic():
            accepted = _accept(recognition, photos)
    finally:
        if accepted is not recognition:
            drop_pictures(photos)
    return accepted


def _accept(recognition: Recognition, photos: Sequence[Photo]) -> Recognition:
    """Insert the recognition, or find the one that it repeats."""
    user = recognition.user
    # A user's requests are decided one after another: two at once never overspend.
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if (key := recognition.idempotency_key) is not None:
        earlier = Recognition.objects.filter(user=user, idempotency_key=key).first()
        if earlier is not None and earlier.content != recognition.content:
            raise Refused("idempotency_key_reused")
        if earlier is not None:
            return earlier
    if known := _find_known(recognition):
        _answer_again(recognition, known)
    else:
        if is_paid():
            check_spending()
        check_quota(user)
        submit_job(job=recognition)
    attach_photos(recognition=recognition, photos=photos)
    return recognition


def _find_known(recognition: Recognition) -> Recognition | None:
    """An earlier answer of the model that would be asked now."""
    return (
        Recognition.objects.filter(
            user=recognition.user,
            content=recognition.content,
            status=Recognition.Status.DONE,
            provider=settings.AI_PROVIDER,
            model=chosen_model(),
        )
        .exclude(outcome="")
        .order_by("-finished_at")
        .first()
    )


def _answer_again(recognition: Recognition, known: Recognition) -> None:
    for field in ("provider", "model", "outcome", "notes"):
        setattr(recognition, field, getattr(known, field))
    recognition.charged = False
    record_done_job(job=recognition)
    items = list(known.items.all())
    for item in items:
        item.pk, item.recognition = None, recognition
    RecognizedItem.objects.bulk_create(items)


def recognize(recognition: Recognition) -> Callable[[], None]:
    """Ask the provider; returns what keeps what it said.

    Raises `jobs.errors` as the provider does; `NotYet` while the circuit is open.
    """
    provider = chosen_provider()
    if is_paid():
        answer = _ask_outside(provider, recognition)
    else:
        answer = _ask(provider, recognition, load_pictures(recognition))

    def keep() -> None:
        RecognizedItem.objects.bulk_create(
            RecognizedItem(recognition=recognition, position=position, **vars(item))
            for position, item in enumerate(answer.items)
        )
        Recognition.objects.filter(pk=recognition.pk).update(
            provider=provider.name,
            model=answer.model,
            notes=answer.notes,
            outcome=_outcome_of(answer),
        )

    return keep


def _outcome_of(answer: Answer) -> Recognition.Outcome:
    if not answer.is_food:
        return Recognition.Outcome.NOT_FOOD
    if not answer.items:
        return Recognition.Outcome.NOTHING_TO_COUNT
    if all(item.confidence < SURE for item in answer.items):
        return Recognition.Outcome.UNSURE
    return Recognition.Outcome.RECOGNIZED


def _ask(provider: Provider, recognition: Recognition, pictures: Sequence[bytes]) -> Answer:
    return provider.recognize(
        text=recognition.text,
        language=recognition.language,
        pictures=pictures,
        note_call=lambda call: meanwhile(lambda: record_call(recognition=recognition, call=call)),
    )


def _ask_outside(provider: Provider, recognition: Recognition) -> Answer:
    """Ask somebody who costs money and may be away: by the limit, the circuit and PATIENCE."""
    waited = meanwhile(lambda: _waited(recognition))
    try:
        meanwhile(lambda: _check_in(provider))
        pictures = meanwhile(lambda: load_pictures(recognition))
        with circuit.watching(provider.name):
            return _ask(provider, recognition, pictures)
    except (Temporary, NotYet) as error:
        if waited + error.after > PATIENCE:
            raise Permanent(error.code, f"given up after {waited}: {error}") from None
        raise
    except Permanent as error:
        if error.code in TURNED_AWAY:
            meanwhile(partial(_tell_operators, error.code))
        raise


def _tell_operators(code: str) -> None:
    """Once a day, however many meals it is that fail."""
    text = TURNED_AWAY[code].format(host=urlsplit(settings.AI_URL).hostname)
    day = timezone.now().astimezone(UTC).date()
    tell_administrators(text=text, key=f"ai.{code}.{day}")


def _waited(recognition: Recognition) -> timedelta:
    """Since it was asked for, or since an operator last had it tried again."""
    since = Greatest("created_at", Coalesce("handled_at", "created_at"))
    waited = ExpressionWrapper(Now() - since, DurationField())
    row = Recognition.objects.annotate(waited=waited).filter(pk=recognition.pk).first()
    return row.waited if row else timedelta()


def _check_in(provider: Provider) -> None:
    try:
        check_spending()
    except Refused as refused:
        raise Permanent(refused.code) from None
    circuit.enter(provider.name)


def record_call(*, recognition: Recognition, call: Call) -> None:
    """Keep what a call cost, whatever becomes of the recognition."""
    try:
        with transaction.atomic():
            ProviderCall.objects.create(recognition=recognition, **vars(call))
    except IntegrityError:  # its user was erased meanwhile
        ProviderCall.objects.create(**vars(call))


def cancel_recognition(*, recognition: Recognition) -> Recognition:
    """End a recognition that is not wanted any more; canceled again, nothing changes.

    What waits gives its place in the quota back. Where a worker is at it, the call is paid for
    and counts; its answer is dropped. Raises Refused where it has come to its end.
    """
    with transaction.atomic():
        locked = Recognition.objects.select_for_update(of=("self",)).get(pk=recognition.pk)
        if locked.error_code == CANCELED:
            return locked
        if locked.status == Recognition.Status.PENDING:
            Recognition.objects.filter(pk=locked.pk).update(charged=False)
        if not cancel_job(job=locked, by="user"):
            raise Refused("recognition_settled")
    locked.refresh_from_db()
    return locked


def accept_recognition(*, recognition: Recognition) -> Meal:
    """Make the recognition a meal eaten now; accepted again, it is the same meal.

    Raises Refused where it is not done, or there is nothing to count.
    """
    with transaction.atomic():
        locked = Recognition.objects.select_for_update(of=("self",)).get(pk=recognition.pk)
        if locked.meal is not None:
            return locked.meal
        if locked.status != Recognition.Status.DONE:
            raise Refused("recognition_not_done")
        items = locked.lines()
        if not items:
            raise Refused("nothing_to_count")
        locked.meal = create_meal(
            user=locked.user,
            eaten_at=timezone.now(),
            portions=[
                Portion(**{field: getattr(item, field) for field in ITEM_FIELDS}) for item in items
            ],
        )
        locked.save(update_fields=["meal"])
        return locked.meal
