"""Taking everything away, and being forgotten: whole, once, through killed workers and races."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.test import Client

from apps.accounts import personal_data
from apps.accounts.models import Deletion, Export, Session, User, Weight
from apps.accounts.personal_data import PersonalData
from apps.accounts.services import request_deletion, request_export
from apps.accounts.tasks import delete_account, export_account
from apps.jobs.broker import listen_again
from apps.jobs.periods import remove_old_jobs
from apps.jobs.sweep import sweep
from tests.accounts.test_login import ANNA, init_data
from tests.accounts.test_login import log_in as log_in_from_telegram
from tests.errands.models import Belonging
from tests.http import at_once, client_of, log_in, make_user, problem
from tests.processes import Process, StartWorker, effects, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNT = "/api/v1/account"
EXPORT = f"{ACCOUNT}/export"
FILE = f"{EXPORT}/file"
DIARY = "/api/v1/diary/2026-01-01"
WORDS = {"confirmation": "delete my account"}


def ask_to_leave(client: Client, body: Any = WORDS) -> Any:
    return client.delete(ACCOUNT, json.dumps(body), content_type="application/json")


def due() -> None:
    """As if the last requests were over."""
    Deletion.objects.update(run_after=Now(), ring_after=Now())


def leave(user: User) -> Deletion:
    """The user asks to leave, and this process does the work."""
    deletion = request_deletion(user=user)
    due()
    delete_account(str(deletion.pk))
    deletion.refresh_from_db()
    return deletion


def exported(user: User) -> Export:
    export = request_export(user=user)
    export_account(str(export.pk))
    export.refresh_from_db()
    return export


def erased_outside(sandbox: str) -> list[int]:
    """Whose belongings were erased outside, each time."""
    return [int(effect["headers"]["idempotency-key"]) for effect in effects(sandbox)]


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have these be all the parts that are registered."""

    def use(*parts: PersonalData) -> None:
        monkeypatch.setattr(personal_data, "_registered", {part.name: part for part in parts})

    return use


def part(name: str, **functions: Any) -> PersonalData:
    given = {"export": lambda user: name, "erase": lambda user: None, **functions}
    return PersonalData(name=name, **given)


# ---- Taking everything away


def test_a_worker_writes_it_down_and_its_owner_fetches_it(start_worker: StartWorker) -> None:
    listen_again()
    user, stranger = make_user(first_name="Анна"), make_user(first_name="Борис")
    Belonging.objects.create(person=user.pk, what="чашка")
    Belonging.objects.create(person=stranger.pk, what="ложка")
    client, other = client_of(user), client_of(stranger)
    client.put("/api/v1/profile/weights/2026-01-01", {"kg": 70.25}, "application/json")
    for path in (EXPORT, FILE):
        problem(client.get(path), 404, "not_found")
    start_worker("default")
    asked = client.post(EXPORT)
    assert asked.status_code == 202
    assert asked.headers["Location"] == EXPORT
    assert int(asked.headers["Retry-After"]) > 0
    shown = wait_for(
        lambda: answer if (answer := client.get(EXPORT)).json()["status"] == "done" else None,
        "the export is done",
    )
    assert shown.json()["id"] == asked.json()["id"]
    assert shown.json()["kept_until"] > shown.json()["finished_at"]
    assert "Retry-After" not in shown.headers
    file = client.get(FILE)
    assert file.headers["Content-Type"] == "application/json"
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert file.headers["Cache-Control"] == "private, no-store"
    data = file.json()["data"]
    assert data["profile"]["first_name"] == "Анна"
    assert data["profile"]["weights"] == [{"date": "2026-01-01", "kg": "70.25"}]
    assert data["belongings"] == [{"what": "чашка"}]
    assert set(data) == {each.name for each in personal_data.registered()}
    assert "Борис" not in file.content.decode()
    for path in (EXPORT, FILE):
        problem(other.get(path), 404, "not_found")


def test_one_is_under_way_however_often_it_is_asked_for() -> None:
    user = make_user()
    answers = at_once(6, lambda: client_of(user).post(EXPORT))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Export.objects.count() == 1
    problem(client_of(user).get(FILE), 404, "not_found")


@pytest.mark.parametrize("status", ["done", "failed"])
def test_a_new_one_takes_the_place_of_the_last(status: str) -> None:
    user = make_user()
    last = exported(user)
    others = exported(make_user())
    Export.objects.filter(pk=last.pk).update(status=status)
    new = client_of(user).post(EXPORT).json()["id"]
    assert {str(pk) for pk in Export.objects.values_list("pk", flat=True)} == {new, str(others.pk)}


def test_it_is_kept_for_a_week() -> None:
    user = make_user()
    export = exported(user)
    for days, kept in ((6, 1), (8, 0)):
        Export.objects.update(finished_at=Now() - timedelta(days=days))
        remove_old_jobs()
        assert Export.objects.filter(pk=export.pk).count() == kept
    problem(client_of(user).get(FILE), 404, "not_found")


def test_it_is_of_one_moment(only: Callable[..., None]) -> None:
    user = make_user()

    def weigh() -> None:
        Weight.objects.create(user=user, date="2026-01-01", kg=70)
        connection.close()

    def meanwhile(user: User) -> int:
        seen = user.weights.count()
        writer = threading.Thread(target=weigh)
        writer.start()
        writer.join()
        return seen

    only(part("first", export=meanwhile), part("second", export=lambda user: user.weights.count()))
    document = json.loads(exported(user).document or "")
    assert document["data"] == {"first": 0, "second": 0}
    assert user.weights.count() == 1


@pytest.mark.parametrize(
    "export",
    [lambda user: user.weights.create(date="2026-01-01", kg=70), lambda user: 1 / 0, lambda _: set],
    ids=["writes", "raises", "is no JSON"],
)
def test_what_cannot_be_written_down_is_tried_again_and_changes_nothing(
    only: Callable[..., None], export: Any
) -> None:
    only(part("broken", export=export))
    made = exported(make_user())
    assert (made.status, made.document, made.error_code) == ("pending", None, "internal_error")
    assert not Weight.objects.exists()


# ---- Leaving


def test_who_leaves_is_let_out_at_once_and_forgotten_by_a_worker(
    start_worker: StartWorker, sandbox: str
) -> None:
    listen_again()
    assert log_in_from_telegram(init_data()).status_code == 200
    user, stranger = User.objects.get(), make_user()
    Belonging.objects.create(person=user.pk, what="чашка")
    for each in (user, stranger):
        client_of(each).put("/api/v1/profile/weights/2026-01-01", {"kg": 70}, "application/json")
    client, tokens = client_of(user), log_in(user)
    start_worker("default")
    answer = ask_to_leave(client)
    assert (answer.status_code, answer.json()) == (202, {"status": "pending"})
    problem(client.get(DIARY), 401, "not_authenticated")
    refreshed = Client().post(
        "/api/v1/auth/refresh", {"refresh_token": tokens.refresh}, "application/json"
    )
    problem(refreshed, 401, "not_authenticated")
    proof = {"Authorization": f"tma {init_data()}"}
    problem(Client().get(DIARY, headers=proof), 401, "not_authenticated")
    body = problem(log_in_from_telegram(init_data()), 409, "account_being_deleted")
    assert "удаляется" in body["title"]
    sweep()
    assert User.objects.filter(pk=user.pk).exists(), "the last requests may not be over"
    due()
    sweep()
    wait_for(lambda: not User.objects.filter(pk=user.pk).exists(), "the person is forgotten")
    assert erased_outside(sandbox) == [user.pk]
    assert not Belonging.objects.exists()
    assert Weight.objects.get().user == stranger
    assert client_of(stranger).get(DIARY).status_code == 200
    wait_for(lambda: Deletion.objects.get().status == "done", "the deletion is done")
    assert Deletion.objects.get().person == user.pk
    assert log_in_from_telegram(init_data()).status_code == 200
    again = User.objects.get(telegram_id=ANNA["id"])
    assert again.pk != user.pk
    assert not again.weights.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"confirmation": True},
        {"confirmation": ""},
        {"confirmation": "Delete my account"},
        {"confirmation": "delete my account "},
        {**WORDS, "more": 1},
        [],
        "delete my account",
    ],
)
def test_nobody_leaves_by_accident(body: Any) -> None:
    user = make_user()
    client = client_of(user)
    problem(ask_to_leave(client, body), 422, "invalid_request")
    problem(client.delete(ACCOUNT), 422, "invalid_request")
    form = client.delete(ACCOUNT, "confirmation=delete+my+account", "text/plain")
    problem(form, 415, "unsupported_media_type")
    assert client.get(DIARY).status_code == 200
    assert not Deletion.objects.exists()


def test_asked_many_times_at_once_it_is_one_deletion() -> None:
    user = make_user()
    client = client_of(user)
    answers = at_once(6, lambda: ask_to_leave(client))
    assert {answer.status_code for answer in answers} <= {202, 401}
    assert Deletion.objects.get().person == user.pk


def test_an_account_that_was_closed_is_not_one_that_leaves() -> None:
    assert log_in_from_telegram(init_data()).status_code == 200
    User.objects.update(is_active=False)
    problem(log_in_from_telegram(init_data()), 401, "login_refused")


def test_the_parts_go_in_reverse_and_the_person_last(only: Callable[..., None]) -> None:
    done: list[str] = []

    def noting(what: str, *, inside: bool) -> Callable[[User], None]:
        def note(user: User) -> None:
            assert User.objects.filter(pk=user.pk).exists()
            assert connection.in_atomic_block is inside
            done.append(what)

        return note

    def noted(name: str) -> PersonalData:
        return part(
            name,
            erase=noting(f"{name} erased", inside=True),
            erase_outside=noting(f"{name} outside", inside=False),
        )

    only(noted("lower"), part("neither"), noted("upper"))
    assert leave(make_user()).status == "done"
    assert done == ["upper outside", "lower outside", "upper erased", "lower erased"]
    assert not User.objects.exists()


@pytest.mark.parametrize("fails", ["erase", "erase_outside"])
def test_what_fails_erases_nothing_and_is_done_again(only: Callable[..., None], fails: str) -> None:
    weather = iter([RuntimeError(), None, None])

    def raise_once(user: User) -> None:
        if error := next(weather):
            raise error

    def forget(user: User) -> None:
        user.weights.all().delete()

    user = make_user()
    user.weights.create(date="2026-01-01", kg=70)
    only(part("lower", **{fails: raise_once}), part("upper", erase=forget))
    try:
        deletion = leave(user)
    except RuntimeError:  # in the finishing transaction: the lease runs out, and it is retried
        deletion = Deletion.objects.get()
        Deletion.objects.update(lease_until=Now())
    assert deletion.status != "done"
    assert user.weights.count() == 1
    assert not User.objects.get().is_active
    due()
    delete_account(str(deletion.pk))
    assert not User.objects.exists()
    assert Deletion.objects.get().status == "done"


def test_doing_it_again_does_nothing() -> None:
    deletion = leave(make_user())
    Deletion.objects.update(status="pending")
    delete_account(str(deletion.pk))
    deletion.refresh_from_db()
    assert (deletion.status, deletion.attempts) == ("done", 2)


@pytest.mark.parametrize("point", ["answered", "erasing", "committed"])
def test_a_worker_killed_at_a_named_point(
    start_worker: StartWorker, sandbox: str, point: str
) -> None:
    listen_again()
    user = make_user()
    user.weights.create(date="2026-01-01", kg=70)
    Belonging.objects.create(person=user.pk, what="чашка", kill_at=point, kills=1)
    deletion = request_deletion(user=user)
    due()
    first = start_worker("default")
    sweep()
    wait_for(lambda: first.popen.poll() is not None, "the worker dies")
    gone = point == "committed"
    assert User.objects.exists() is not gone
    assert Weight.objects.exists() is not gone
    if not gone:
        Deletion.objects.update(lease_until=Now(), ring_after=Now())
        second: Process = start_worker("default")
        sweep()
        wait_for(lambda: not User.objects.exists(), "the person is forgotten")
        wait_for(lambda: Deletion.objects.get().status == "done", "the deletion is done")
        assert second.stop() == 0
    deletion.refresh_from_db()
    assert (deletion.status, deletion.attempts) == ("done", 1 if gone else 2)
    assert not Belonging.objects.exists()
    assert not Weight.objects.exists()
    assert erased_outside(sandbox) == [user.pk] * (1 if gone else 2)


def test_what_is_written_at_the_last_moment_does_not_outlive_its_person() -> None:
    user = make_user()
    deletion = request_deletion(user=user)
    due()

    def erase() -> None:
        delete_account(str(deletion.pk))
        connection.close()

    def write() -> None:
        with transaction.atomic():
            Weight.objects.create(user=user, date="2026-01-01", kg=70)
            worker = threading.Thread(target=erase)
            worker.start()
            worker.join()

    with pytest.raises(IntegrityError):
        write()
    assert not User.objects.exists()
    assert not Weight.objects.exists()


def test_an_export_under_way_ends_with_its_person() -> None:
    user = make_user()
    export = request_export(user=user)
    leave(user)
    export_account(str(export.pk))
    assert not Export.objects.exists()
    assert not Session.objects.exists()
