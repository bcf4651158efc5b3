"""Photos are kept for their time, in a directory or a bucket, and then they are gone."""

import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.test import Client
from django.utils import timezone
from moto.server import ThreadedMotoServer

from apps.accounts.models import User
from apps.accounts.personal_data import registered
from apps.ai import photo_store, photos
from apps.ai.models import Photo, Recognition
from apps.jobs.errors import NotYet, Temporary
from apps.jobs.models import Period
from apps.jobs.periods import run_period
from tests.ai.asking import URL, look
from tests.ai.pictures import photo
from tests.ai.test_photos import send, sent
from tests.http import client_of, make_user, problem

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_options(url: str, bucket: str) -> dict[str, Any]:
    return {
        "endpoint_url": url,
        "region_name": "us-east-1",
        "bucket_name": bucket,
        "access_key": "test",
        "secret_key": "test",
    }


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> str:
    """Each test here holds for both storages."""
    if request.param == "local":
        chosen = {**settings.PHOTO_STORAGES["local"], "OPTIONS": {"location": str(tmp_path / "p")}}
    else:
        url, bucket = request.getfixturevalue("s3_server"), f"photos-{secrets.token_hex(4)}"
        options = s3_options(url, bucket)
        boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        ).create_bucket(Bucket=bucket)
        chosen = {**settings.PHOTO_STORAGES["s3"], "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "photos": chosen}
    return str(request.param)


def stored() -> set[str]:
    return {key for day in photo_store.list_days() for key in photo_store.list_keys(day)}


def age(row: Photo, days: float) -> None:
    Photo.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(days=days))


def run(routine: str) -> None:
    run_period(Period(name=routine, begins=timezone.now()))


@pytest.mark.usefixtures("store")
def test_a_photo_comes_back_as_it_was_kept(eater: Client) -> None:
    pk = sent(eater, photo(), photo("WEBP"))
    first, second = photos.load_pictures(Recognition.objects.get(pk=pk))
    assert first != second
    assert eater.get(f"{URL}/{pk}/photos/1").content == first
    assert eater.get(f"{URL}/{pk}/photos/2").content == second
    assert stored() == set(Photo.objects.values_list("key", flat=True))


@pytest.mark.usefixtures("store")
def test_old_photos_go_in_the_night_and_new_ones_stay(eater: Client, settings: Any) -> None:
    settings.PHOTO_RETENTION = timedelta(days=30)
    pk = sent(eater, photo(), photo())
    old, new = Photo.objects.order_by("position")
    age(old, 30.1)
    age(new, 29.9)
    for _ in range(2):  # and again, to no further effect
        run("ai.remove_expired_photos")
        assert stored() == {new.key}
        old.refresh_from_db()
        new.refresh_from_db()
        assert old.deleted_at is not None
        assert new.deleted_at is None
    body = problem(eater.get(f"{URL}/{pk}/photos/1"), 410, "photo_deleted")
    assert body["title"] == "Фотографии так долго не хранятся"
    assert eater.get(f"{URL}/{pk}/photos/2").status_code == 200
    shown = look(eater, pk).json()["photos"]
    assert [bool(one["deleted_at"]) for one in shown] == [True, False]


@pytest.mark.usefixtures("store")
def test_an_old_photo_whose_file_is_gone_already_is_deleted_all_the_same(eater: Client) -> None:
    sent(eater, photo())
    row = Photo.objects.get()
    photo_store.delete_file(row.key)
    age(row, 3651)
    run("ai.remove_expired_photos")
    row.refresh_from_db()
    assert row.deleted_at is not None


@pytest.mark.usefixtures("store")
def test_files_that_no_row_names_go_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    kept_since = {}
    for days in (3, 2, 1, 0):
        then = timezone.now() - timedelta(days=days)
        monkeypatch.setattr("django.utils.timezone.now", lambda then=then: then)
        orphan = photo_store.save_file(b"orphan")
        sent(client_of(make_user()), photo())
        monkeypatch.undo()
        kept_since[days] = orphan
    named = set(Photo.objects.values_list("key", flat=True))
    assert stored() == named | set(kept_since.values())
    run("ai.remove_orphaned_photos")
    assert stored() == named | {kept_since[0], kept_since[1]}


@pytest.mark.usefixtures("store")
def test_who_leaves_takes_the_photos_along_and_nobody_elses(user: User, eater: Client) -> None:
    other = client_of(make_user())
    sent(eater, photo(), photo())
    theirs = sent(other, photo())
    (part,) = (part for part in registered() if part.name == "photos")
    told = part.export(user)
    assert [(one["position"], one["width"], one["height"]) for one in told] == [
        (1, 640, 480),
        (2, 640, 480),
    ]
    assert "key" not in told[0]
    assert part.erase_outside is not None
    for _ in range(2):
        part.erase_outside(user)
        (key,) = Photo.objects.filter(recognition=theirs).values_list("key", flat=True)
        assert stored() == {key}
    part.erase(user)
    assert [row.recognition_id for row in Photo.objects.all()] == [theirs]


def unreachable(settings: Any, store: str, tmp_path: Path) -> None:
    if store == "local":
        (tmp_path / "blocked").write_text("")
        options = {"location": str(tmp_path / "blocked" / "photos")}
    else:
        options = s3_options("http://127.0.0.1:9", "photos")
    chosen = {**settings.STORAGES["photos"], "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "photos": chosen}


def test_while_the_storage_is_away_nothing_is_forgotten(
    user: User, eater: Client, store: str, settings: Any, tmp_path: Path
) -> None:
    pk = sent(eater, photo())
    age(Photo.objects.get(), 3651)
    before = settings.STORAGES
    unreachable(settings, store, tmp_path)
    problem(send(eater, photo()), 503, "photo_store_away")
    problem(eater.get(f"{URL}/{pk}/photos/1"), 503, "photo_store_away")
    if store == "s3":  # a directory that is not there has nothing in it
        for remove in (photos.remove_expired_photos, photos.remove_orphans):
            with pytest.raises(Temporary):
                remove()
        with pytest.raises(Temporary):
            photos.erase_photo_files(user)
        with pytest.raises(Temporary):
            photos.load_pictures(Recognition.objects.get(pk=pk))
        assert Photo.objects.get().deleted_at is None
        settings.STORAGES = before
        photos.remove_expired_photos()
    assert Recognition.objects.count() == 1


@pytest.mark.usefixtures("store")
def test_what_takes_too_long_goes_on_at_its_next_turn(
    eater: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pk = sent(eater, photo())
    monkeypatch.setattr(photos, "LOADING_SECONDS", -1.0)
    with pytest.raises(Temporary):
        photos.load_pictures(Recognition.objects.get(pk=pk))
    age(Photo.objects.get(), 3651)
    monkeypatch.setattr(photos, "REMOVING_SECONDS", -1.0)
    with pytest.raises(NotYet):
        photos.remove_expired_photos()
    monkeypatch.undo()
    photos.remove_expired_photos()
    assert stored() == set()
