"""What changes people: they log in for a while, say what they are like, take it away, leave."""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts.models import Deletion, Export, Session, User, Weight
from apps.accounts.personal_data import registered
from apps.jobs.services import submit_job

logger = logging.getLogger(__name__)

LANGUAGES = ("ru", "en")

BODY = frozenset({"sex", "birth_year", "height_cm", "activity", "goal"})
"""Fields that what a person needs depends on, as it does on their weight."""

LAST_REQUESTS = timedelta(minutes=1)
"""A request that was let in before a person left is over by then, or was cut off."""

OnChange = Callable[[User, date], None]

_to_be_told: list[OnChange] = []


@cache
def time_zones() -> frozenset[str]:
    """The names of the zones there are, read from the disk once."""
    return frozenset(available_timezones())


def get_or_create_user(
    *, telegram_id: int, first_name: str = "", language: str = "", time_zone: str = ""
) -> User:
    """The user with this Telegram id; made where there is none, their name kept current.

    Language and time zone are those of the first login, where they are known ones.
    """
    user, created = User.objects.get_or_create(
        telegram_id=telegram_id,
        defaults={
            "first_name": first_name[:255],
            "language": language if language in LANGUAGES else "ru",
            "time_zone": time_zone if time_zone in time_zones() else settings.TIME_ZONE,
        },
    )
    if not created and first_name and user.first_name != first_name[:255]:
        user.first_name = first_name[:255]
        User.objects.filter(pk=user.pk).update(first_name=user.first_name)
    return user


def open_session(*, user: User) -> Session:
    """A login of the user."""
    return Session.objects.create(user=user)


def refresh_session(*, pk: UUID, turn: int) -> Session | None:
    """Prolong a login that was refreshed `turn` times; None where it is over.

    A refresh token is good for once. One that comes again was stolen, or its answer lost: which
    of the two holders is the thief nobody can tell, so the login is over for both.
    """
    with transaction.atomic():
        session = (
            Session.objects.select_for_update(of=("self",))
            .filter(pk=pk, user__is_active=True)
            .select_related("user")
            .first()
        )
        if session is None:
            return None
        if session.turn != turn:
            session.delete()
            logger.warning("refresh token used again", extra={"user_id": str(session.user_id)})
            return None
        session.turn += 1
        Session.objects.filter(pk=pk).update(turn=session.turn, refreshed_at=Now())
    return session


def close_session(*, pk: UUID) -> None:
    """End a login: what was issued for it is void."""
    Session.objects.filter(pk=pk).delete()


def remove_old_sessions() -> None:
    """Forget logins whose every token has expired."""
    lifetime = timedelta(seconds=settings.REFRESH_TOKEN_LIFETIME)
    removed, _ = Session.objects.filter(refreshed_at__lt=Now() - lifetime).delete()
    logger.info("old sessions removed", extra={"removed": removed})


def on_profile_change(callback: OnChange) -> None:
    """Have `callback(user, since)` called in the transaction that changes a body or a weight.

    `since` is the first day, by the person's calendar, for which something is different now.
    """
    _to_be_told.append(callback)


def today_of(user: User) -> date:
    """The date by the person's own calendar."""
    return timezone.now().astimezone(ZoneInfo(user.time_zone)).date()


def update_profile(*, user: User, changes: Mapping[str, Any]) -> User:
    """Set these fields of the profile; the others stay as they are."""
    with transaction.atomic():
        locked = _lock(user)
        changed = {name for name, value in changes.items() if getattr(locked, name) != value}
        for name in changed:
            setattr(locked, name, changes[name])
        if changed:
            locked.save(update_fields=changed)
        if changed & BODY:
            _tell(locked, today_of(locked))
    return locked


def set_weight(*, user: User, day: date, kg: Decimal) -> Weight:
    """What the person weighed on that day, whatever was said of it before."""
    with transaction.atomic():
        locked = _lock(user)
        weight, _ = Weight.objects.update_or_create(user=locked, date=day, defaults={"kg": kg})
        _tell(locked, day)
    return weight


def remove_weight(*, user: User, day: date) -> bool:
    """Forget what the person weighed on that day. False where nothing was known of it."""
    with transaction.atomic():
        locked = _lock(user)
        removed, _ = Weight.objects.filter(user=locked, date=day).delete()
        if removed:
            _tell(locked, day)
    return bool(removed)


def _lock(user: User) -> User:
    """One change of a person at a time: who is told sees all that came before it."""
    return User.objects.select_for_update().get(pk=user.pk)


def _tell(user: User, since: date) -> None:
    for callback in _to_be_told:
        callback(user, since)


def erase_profile(user: User) -> None:
    """Forget what the person's row does not take with it."""
    Weight.objects.filter(user=user).delete()
    Session.objects.filter(user=user).delete()


def request_export(*, user: User) -> Export:
    """Have everything about the person written down. One that is under way is the answer again;
    others make room for the new one."""
    with transaction.atomic():
        exports = Export.objects.filter(user=_lock(user)).defer("document")
        under_way = exports.filter(status__in=Export.OPEN).first()
        if under_way is not None:
            return under_way
        exports.delete()
        return submit_job(job=Export(user=user))


def export_account(export: Export) -> Callable[[], None]:
    """Ask every app for its part, as of one moment; returns what keeps the file."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        user = User.objects.get(pk=export.user_id)
        parts = {part.name: part.export(user) for part in registered()}
    told = {"exported_at": timezone.now(), "data": parts}
    document = json.dumps(told, cls=DjangoJSONEncoder, ensure_ascii=False, indent=1)

    def keep() -> None:
        Export.objects.filter(pk=export.pk).update(document=document)

    return keep


def request_deletion(*, user: User) -> Deletion:
    """Let the person out at once, for good, and have what is known of them erased soon after.

    Asked again it is the same deletion.
    """
    with transaction.atomic():
        locked = _lock(user)
        asked = Deletion.objects.filter(person=locked.pk).first()
        if asked is not None:
            return asked
        locked.is_active = False
        locked.save(update_fields=["is_active"])
        Session.objects.filter(user=locked).delete()
        return submit_job(job=Deletion(person=locked.pk, run_after=Now() + LAST_REQUESTS))


def delete_account(deletion: Deletion) -> Callable[[], None]:
    """Erase what lies outside the database; returns what erases the rest, and the person.

    Whatever an attempt before this one has done may be done again.
    """
    user = User.objects.filter(pk=deletion.person).first()
    if user is not None:
        for part in reversed(registered()):
            if part.erase_outside is not None:
                part.erase_outside(user)

    def erase() -> None:
        # Nothing new can refer to the person from here on.
        person = User.objects.select_for_update().filter(pk=deletion.person).first()
        if person is None:
            return
        for part in reversed(registered()):
            part.erase(person)
        person.delete()

    return erase
