"""Photos over HTTP: uploaded as a form, kept, looked at by their owner alone."""

import base64
import fcntl
import io
import json
import os
import re
import resource
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
import pytest
import redis
from django.conf import settings as configured
from django.core.files.storage import FileSystemStorage, storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from apps.accounts.models import User
from apps.ai.models import TEXT_LIMIT, Photo, Recognition
from apps.ai.photos import load_pictures
from apps.ai.pictures import MOST_BYTES
from apps.ai.tasks import recognize
from apps.jobs.broker import listen_again
from sandbox.embedded import Redis
from tests.ai.asking import URL, look
from tests.ai.pictures import encode, photo, plate, png, png_bomb
from tests.http import StartServer, client_of, make_user, problem
from tests.processes import Process, wait_for

pytestmark = pytest.mark.django_db


def send(client: Client, *pictures: bytes, **fields: Any) -> Any:
    files = [SimpleUploadedFile("c:\\..\\x.exe", one, "text/plain") for one in pictures]
    return client.post(URL, {"photo": files, **fields})


def sent(client: Client, *pictures: bytes, **fields: Any) -> UUID:
    response = send(client, *pictures, **fields)
    assert response.status_code == 202, response.content
    return UUID(response.json()["id"])


def files() -> set[str]:
    """The keys of everything that is stored."""
    root = configured.STORAGES["photos"]["OPTIONS"]["location"]
    return {
        os.path.relpath(os.path.join(folder, name), root)  # noqa: PTH118
        for folder, _, names in os.walk(root)
        for name in names
    }


@pytest.fixture(autouse=True)
def photo_dir(settings: Any, tmp_path: Any) -> Any:
    """A directory of its own for each test."""
    folder = tmp_path / "photos"
    options = {**settings.STORAGES["photos"], "OPTIONS": {"location": str(folder)}}
    settings.STORAGES = {**settings.STORAGES, "photos": options}
    return folder


def test_photos_and_words_are_kept_together(user: User, eater: Client) -> None:
    before = encode(plate(3000, 2000), "JPEG")
    pk = sent(eater, before, photo("PNG"), photo("HEIF"), text=" my lunch ")
    recognition = Recognition.objects.get(pk=pk)
    assert (recognition.user, recognition.text) == (user, "my lunch")
    rows = list(recognition.photos.all())
    assert [row.position for row in rows] == [1, 2, 3]
    assert {row.key for row in rows} == files()
    for row in rows:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d/[0-9a-f]{32}\.jpg", row.key)
    jpegs = load_pictures(recognition)
    assert [Image.open(io.BytesIO(jpeg)).size for jpeg in jpegs] == [
        (1024, 683),
        (640, 480),
        (640, 480),
    ]
    assert [(row.width, row.height, row.size) for row in rows] == [
        (*Image.open(io.BytesIO(jpeg)).size, len(jpeg)) for jpeg in jpegs
    ]
    shown = look(eater, pk).json()["photos"]
    assert shown[0] == {"width": 1024, "height": 683, "deleted_at": None}


def test_a_photo_alone_is_enough_and_words_alone_as_well(eater: Client) -> None:
    assert Recognition.objects.get(pk=sent(eater, photo())).text == ""
    assert Recognition.objects.get(pk=sent(eater, text="rice")).photos.count() == 0


@pytest.mark.django_db(transaction=True)
def test_no_picture_goes_through_redis(eater: Client, redis_server: Redis) -> None:
    listen_again()
    uploaded = photo()
    pk = sent(eater, uploaded)
    (kept,) = load_pictures(Recognition.objects.get(pk=pk))
    values = everything_in(redis_server)
    assert any(str(pk).encode() in value for value in values), "its message is there"
    for value in values:
        assert len(value) < 5_000
        for jpeg in (uploaded, kept):
            at = len(jpeg) // 6 * 3  # where base64, which goes by threes, would show it too
            middle = jpeg[at : at + 30]
            assert middle not in value
            assert base64.b64encode(middle) not in value


def everything_in(server: Redis) -> list[bytes]:
    """Every value of every database."""
    values = []
    for number in range(16):
        client = redis.Redis(port=server.port, db=number)
        for key in client.scan_iter():
            match client.type(key):
                case b"string":
                    values.append(client.get(key))
                case b"list":
                    values += client.lrange(key, 0, -1)
                case b"hash":
                    values += client.hvals(key)
                case b"set":
                    values += client.smembers(key)
                case b"zset":
                    values += client.zrange(key, 0, -1)
                case kind:
                    raise AssertionError(kind)
    return values


def test_the_owner_gets_the_picture_and_nobody_else(eater: Client, client: Client) -> None:
    pk = sent(eater, photo(), encode(plate().rotate(180), "PNG"))
    first, second = Photo.objects.order_by("position")
    for number, row in ((1, first), (2, second)):
        response = eater.get(f"{URL}/{pk}/photos/{number}")
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "image/jpeg"
        assert response.headers["Cache-Control"].startswith("private")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Authorization" in response.headers["Vary"]
        assert len(response.content) == row.size
    problem(client_of(make_user()).get(f"{URL}/{pk}/photos/1"), 404, "not_found")
    problem(client.get(f"{URL}/{pk}/photos/1"), 401, "not_authenticated")
    for path in (f"{pk}/photos/0", f"{pk}/photos/3", f"{uuid4()}/photos/1", f"{pk}/photos/x"):
        problem(eater.get(f"{URL}/{path}"), 404, "not_found")
    problem(eater.get(f"{URL}/{pk}/photos/99999999999999999999"), 404, "not_found")


def test_nginx_is_told_where_it_lies(eater: Client, settings: Any) -> None:
    pk = sent(eater, photo())
    settings.PHOTO_ACCEL = True
    response = eater.get(f"{URL}/{pk}/photos/1")
    assert response.headers["X-Accel-Redirect"] == f"/internal/photos/{Photo.objects.get().key}"
    assert response.content == b""
    problem(client_of(make_user()).get(f"{URL}/{pk}/photos/1"), 404, "not_found")


MIXED = [
    ("picture_unsupported", 415, b"<html>", "Не похоже на фотографию, которую мы можем прочитать"),
    ("picture_unreadable", 422, photo()[:2000], "Фотография повреждена"),
    ("picture_too_many_pixels", 422, png(50_000, 50_000), "В фотографии слишком много пикселей"),
    ("picture_too_big", 413, bytes(MOST_BYTES + 1), "Фотография слишком большая"),
]


@pytest.mark.parametrize(("code", "status", "data", "title"), MIXED, ids=[m[0] for m in MIXED])
def test_one_bad_picture_refuses_all_and_keeps_nothing(
    eater: Client, code: str, status: int, data: bytes, title: str
) -> None:
    body = problem(send(eater, photo(), data, text="lunch"), status, code)
    assert body["title"] == title
    assert not Recognition.objects.exists()
    assert files() == set()


@pytest.mark.parametrize(
    ("pictures", "fields", "status", "code"),
    [
        ((), {}, 422, "invalid_request"),
        ((), {"text": "  "}, 422, "invalid_request"),
        ((), {"text": "a" * (TEXT_LIMIT + 1)}, 422, "invalid_request"),
        ((photo(),), {"text": "a" * (TEXT_LIMIT + 1)}, 422, "invalid_request"),
        ((photo(),), {"text": "ri\x00ce"}, 422, "invalid_request"),
        ((photo(),), {"caption": "rice"}, 422, "invalid_request"),
        ((), {"text": "rice", "photo": "none"}, 422, "invalid_request"),
        ((), {"text": "rice", "picture": SimpleUploadedFile("x", b"x")}, 422, "invalid_request"),
        ((photo(),) * 5, {}, 422, "too_many_pictures"),
        ((), {f"field{n}": "" for n in range(12)}, 400, "malformed_form"),
        ((bytes(7 << 20),) * 3, {}, 413, "request_too_big"),
        ((), {"text": "a" * 3_000_000}, 413, "request_too_big"),
    ],
)
def test_what_is_no_such_form_is_refused(
    eater: Client, pictures: Any, fields: dict[str, Any], status: int, code: str
) -> None:
    given = {"photo": [SimpleUploadedFile("x", one) for one in pictures]} if pictures else {}
    problem(eater.post(URL, {**given, **fields}), status, code)
    assert not Recognition.objects.exists()
    assert files() == set()


@pytest.mark.parametrize(
    "body", [b"", b"--x", b"--x\r\n\r\n\r\n", b"nonsense", b"--x\r\nContent-Disposition: form-data"]
)
def test_a_broken_form_is_refused(eater: Client, body: bytes) -> None:
    for kind in ("multipart/form-data; boundary=x", "multipart/form-data"):
        response = eater.post(URL, body, content_type=kind)
        assert response.status_code in (400, 422), response.content
        assert response.json()["code"] in ("malformed_form", "invalid_request")


class FullDisk(FileSystemStorage):
    """Takes one file, and of the second a part."""

    def _save(self, name: str, content: Any) -> str:
        saved: str = super()._save(name, content)
        if len(files()) > 1:
            raise OSError(28, "No space left on device")
        return saved


def test_a_full_disk_is_told_and_leaves_nothing(
    eater: Client, settings: Any, photo_dir: Any
) -> None:
    full = {"BACKEND": f"{__name__}.FullDisk", "OPTIONS": {"location": str(photo_dir)}}
    settings.STORAGES = {**settings.STORAGES, "photos": full}
    assert isinstance(storages["photos"], FullDisk)
    problem(send(eater, photo(), photo()), 503, "photo_store_away")
    assert not Recognition.objects.exists()
    assert files() == set()


def test_a_place_that_cannot_be_written_is_told(eater: Client, photo_dir: Any) -> None:
    photo_dir.write_text("a file where the directory belongs")
    problem(send(eater, photo()), 503, "photo_store_away")


@pytest.mark.parametrize("damage", ["gone", "cut off"])
def test_a_photo_whose_file_was_lost_fails_its_recognition(
    eater: Client, photo_dir: Any, damage: str
) -> None:
    pk = sent(eater, photo())
    file = photo_dir / Photo.objects.get().key
    if damage == "gone":
        file.unlink()
        problem(eater.get(f"{URL}/{pk}/photos/1"), 503, "photo_store_away")
    else:
        file.write_bytes(file.read_bytes()[:100])
    recognize(str(pk))
    recognition = Recognition.objects.get(pk=pk)
    assert (recognition.status, recognition.error_code) == ("failed", "photo_lost")


def test_an_upload_leaves_no_file_behind(start_server: StartServer, tmp_path: Any) -> None:
    """Neither a whole one, nor one whose client went away, in a real server."""
    user = make_user()
    token = client_of(user).defaults["HTTP_AUTHORIZATION"]
    spool = tmp_path / "spool"
    spool.mkdir()
    server, http = start_server(TMPDIR=str(spool), PHOTO_DIR=str(tmp_path / "kept"))
    response = http.post(
        URL, files=[("photo", photo())] * 2, headers={"Authorization": token}, timeout=60
    )
    assert response.status_code == 202, response.text
    assert len(list((tmp_path / "kept").glob("*/*.jpg"))) == 2
    assert held(server, spool) == []
    for pictures in ([bytes(MOST_BYTES + 1)], [photo(), bytes(MOST_BYTES + 1)], [photo(), b"x"]):
        response = http.post(
            URL, files=[("photo", one) for one in pictures], headers={"Authorization": token}
        )
        assert response.status_code in (413, 415), response.text
        assert held(server, spool) == []
    head = (
        f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5000000\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="photo"; filename="x"\r\n\r\n'
    )
    with socket.create_connection((http.base_url.host, http.base_url.port or 0)) as client:
        client.sendall(head.encode() + bytes(1_000_000))
    wait_for(lambda: held(server, spool) == [], "nothing is held")
    assert Recognition.objects.count() == 1


def held(server: Process, folder: Path) -> list[str]:
    """Files there, nameless ones too, that the server's processes hold open."""
    processes = [psutil.Process(server.popen.pid)]
    processes += processes[0].children(recursive=True)
    links = [link for one in processes for link in Path(f"/proc/{one.pid}/fd").iterdir()]
    targets = [os.readlink(link) for link in links if link.is_symlink()]  # noqa: PTH115
    return [*map(str, folder.iterdir()), *(one for one in targets if one.startswith(str(folder)))]


def test_who_is_refused_unread_gets_to_know_it(start_server: StartServer) -> None:
    _, http = start_server()
    for _ in range(5):
        response = http.post(URL, files={"photo": bytes(15 << 20)})
        assert response.status_code == 401


def test_bombs_do_not_move_the_server(start_server: StartServer, tmp_path: Any) -> None:
    token = client_of(make_user()).defaults["HTTP_AUTHORIZATION"]
    _, http = start_server(PHOTO_DIR=str(tmp_path / "kept"))
    for bomb in (png_bomb(6000), png(50_000, 50_000), b"GIF89a" + bytes(100)):
        response = http.post(
            URL, files={"photo": bomb}, headers={"Authorization": token}, timeout=60
        )
        assert response.status_code in (415, 422), json.dumps(response.json())
    assert not Recognition.objects.exists()


def test_while_there_is_no_room_for_uploads_they_are_put_off(eater: Client) -> None:
    """A file of limited size behaves as a full file system: a part is written, then nothing."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        for size in (99_000, 100_001, 3_000_000):
            response = send(eater, bytes(size))
            if size < 100_000:
                problem(response, 415, "picture_unsupported")
            else:
                problem(response, 503, "pictures_busy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not Recognition.objects.exists()


def test_uploads_that_wait_leave_threads_to_others(
    start_server: StartServer, tmp_path: Path
) -> None:
    """Somebody else has the decoder; of four threads two may wait for it."""
    server, http = start_server(threads=4, PHOTO_DIR=str(tmp_path))
    headers = {"Authorization": client_of(make_user()).defaults["HTTP_AUTHORIZATION"]}

    def upload() -> httpx.Response:
        return http.post(URL, files={"photo": photo()}, headers=headers, timeout=60)

    with ThreadPoolExecutor(6) as pool:
        with (server.runtime / "pictures.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            uploads = [pool.submit(upload) for _ in range(6)]
            wait_for(lambda: sum(one.done() for one in uploads) == 4, "the others are refused")
            assert http.get("/health/live/", timeout=20).status_code == 200
        answers = [one.result() for one in uploads]
    assert sorted(answer.status_code for answer in answers) == [202, 202, 503, 503, 503, 503]
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.json()["code"] == "pictures_busy"
    assert int(refused.headers["Retry-After"]) > 0
