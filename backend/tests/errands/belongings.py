"""Something of a person that lies outside too, and kills the worker who comes to erase it."""

import os
import signal

import httpx
from django.db import transaction

from apps.accounts.models import Deletion, User
from apps.accounts.personal_data import PersonalData
from tests.errands.models import Belonging


def die_at(point: str, user: User) -> None:
    attempts = Deletion.objects.values_list("attempts", flat=True).get(person=user.pk)
    if Belonging.objects.filter(person=user.pk, kill_at=point, kills__gte=attempts).exists():
        os.kill(os.getpid(), signal.SIGKILL)


def erase_outside(user: User) -> None:
    if not Belonging.objects.filter(person=user.pk).exists():
        return
    httpx.post(
        f"{os.environ['SANDBOX_URL']}/effects/erased",
        headers={"Idempotency-Key": str(user.pk)},
        json={},
        timeout=10,
    ).raise_for_status()
    die_at("answered", user)


def erase(user: User) -> None:
    belongings = Belonging.objects.filter(person=user.pk)
    deadly = belongings.filter(kill_at="committed").exists()
    die_at("erasing", user)
    belongings.delete()
    if deadly:
        transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))


BELONGINGS = PersonalData(
    name="belongings",
    export=lambda user: list(Belonging.objects.filter(person=user.pk).values("what")),
    erase=erase,
    erase_outside=erase_outside,
)
