"""What comes of a picture, whatever it is: a small upright JPEG without a past, or a refusal."""

import fcntl
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from apps.ai import decoding
from apps.ai.pictures import DECODER, MOST_BYTES, BadPicture, Picture, PicturesBusy, read_picture
from tests.ai.pictures import (
    BLUE,
    GREEN,
    RED,
    encode,
    exif,
    photo,
    plate,
    png,
    png_bomb,
    text_bomb,
    webp_header,
)
from tests.processes import wait_for

KINDS = ("JPEG", "PNG", "WEBP", "HEIF")
LOCK = os.devnull
CODES = {"picture_unsupported", "picture_too_many_pixels", "picture_unreadable"}


def opened(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.jpeg))
    image.load()
    return image


def near(pixel: Any, colour: tuple[int, int, int], by: int = 25) -> bool:
    return all(abs(one - other) <= by for one, other in zip(pixel, colour, strict=True))


def corners(image: Image.Image) -> list[Any]:
    """The colours at top left, top right, bottom left and bottom right."""
    x, y = image.width // 8, image.height // 8
    places = [(x, y), (image.width - x, y), (x, image.height - y)]
    return [image.getpixel(place) for place in (*places, (image.width - x, image.height - y))]


def refusal(data: bytes) -> str:
    with pytest.raises(BadPicture) as caught:
        read_picture(data, patience=120)  # on a busy machine as well
    return caught.value.code


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_becomes_a_jpeg_of_ours(kind: str) -> None:
    picture = read_picture(photo(kind))
    image = opened(picture)
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (640, 480))
    assert (picture.width, picture.height) == (640, 480)
    for pixel, colour in zip(corners(image), (RED, GREEN, BLUE, BLUE), strict=True):
        assert near(pixel, colour), (pixel, colour)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_picture_has_the_same_hash_and_another_another(kind: str) -> None:
    data = photo(kind)
    assert read_picture(data) == read_picture(data)
    other = encode(plate().rotate(180), kind)
    assert read_picture(other).sha256 != read_picture(data).sha256


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_one_is_made_smaller_and_a_small_one_stays(kind: str) -> None:
    large = read_picture(encode(plate(3000, 1500), kind))
    assert (large.width, large.height) == (1024, 512) == opened(large).size
    small = read_picture(encode(plate(64, 48), kind))
    assert (small.width, small.height) == (64, 48)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_upright(orientation: int) -> None:
    """As a camera writes it that was held so: turned, and a note of how to turn it back."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    held = plate(2000, 1500)
    if orientation in turns:
        held = held.transpose(turns[orientation])
    for kind in ("JPEG", "PNG", "WEBP"):
        image = opened(read_picture(encode(held, kind, exif=exif(orientation=orientation))))
        assert image.size == (1024, 768)
        for pixel, colour in zip(corners(image), (RED, GREEN, BLUE, BLUE), strict=True):
            assert near(pixel, colour), (kind, pixel, colour)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_where_and_by_whom_is_kept(kind: str) -> None:
    secret = "Anna-was-here"
    options: dict[str, Any] = {"exif": exif(note=secret).tobytes()}
    if kind in ("PNG", "WEBP", "JPEG"):
        options["xmp"] = secret.encode()
    if kind == "JPEG":
        options["comment"] = secret.encode()
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("Comment", secret)
    data = photo(kind, **options)
    assert secret.encode() in data, "the test would show nothing"
    picture = read_picture(data)
    assert secret.encode() not in picture.jpeg
    image = opened(picture)
    assert not image.getexif()
    assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_what_follows_the_picture_is_dropped() -> None:
    picture = read_picture(photo() + b"<?php and more of it ?>")
    assert b"<?php" not in picture.jpeg
    assert picture == read_picture(photo())


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "HEIF"])
def test_what_is_transparent_is_white(kind: str) -> None:
    image = plate(mode="RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 320, 240))
    first, second, *_ = corners(opened(read_picture(encode(image, kind))))
    assert near(first, (255, 255, 255))
    assert near(second, GREEN)


MODES = [
    ("1", "PNG"),
    ("L", "JPEG"),
    ("LA", "PNG"),
    ("P", "PNG"),
    ("I;16", "PNG"),
    ("CMYK", "JPEG"),
]


@pytest.mark.parametrize(("mode", "kind"), MODES)
def test_any_way_to_tell_colours_is_read(mode: str, kind: str) -> None:
    if mode == "I;16":
        image = Image.new("I;16", (2000, 1000), 0x8000)
    else:
        image = Image.new("L", (2000, 1000), 128 if mode != "1" else 255).convert(mode)
    read = opened(read_picture(encode(image, kind)))
    assert read.size == (1024, 512)
    assert near(read.getpixel((5, 5)), (255,) * 3 if mode == "1" else (128,) * 3, by=3)


def test_a_palette_with_a_transparent_colour_is_on_white() -> None:
    image = plate().quantize(4)
    transparent = image.getpixel((5, 5))
    read = opened(read_picture(encode(image, "PNG", transparency=transparent)))
    assert near(read.getpixel((20, 20)), (255, 255, 255))


def test_colours_are_converted_by_the_profile_inside() -> None:
    """In this one red and green have changed places, as have the numbers of the picture."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    r, g, b = plate().split()
    swapped = Image.merge("RGB", (g, r, b))
    for kind in ("PNG", "JPEG", "WEBP"):
        image = opened(read_picture(encode(swapped, kind, icc_profile=bytes(profile))))
        for pixel, colour in zip(corners(image), (RED, GREEN, BLUE, BLUE), strict=True):
            assert near(pixel, colour), (kind, pixel, colour)


@pytest.mark.parametrize("profile", [b"\0" * 200, b"acsp" * 1000])
def test_a_profile_that_cannot_be_read_is_passed_over(profile: bytes) -> None:
    image = opened(read_picture(photo("PNG", icc_profile=profile)))
    assert near(image.getpixel((20, 20)), RED)


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_of_an_animation_it_is_the_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in (RED, GREEN, BLUE)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    assert near(opened(read_picture(data)).getpixel((30, 30)), RED)


def test_a_jpeg_with_more_after_it_is_a_jpeg() -> None:
    """As telephones write with a depth map or a preview: MPO."""
    data = encode(plate(), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 64))])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert near(corners(opened(read_picture(data)))[0], RED)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "picture_unsupported"),
        (b"\0" * 100, "picture_unsupported"),
        (b"two eggs and rice", "picture_unsupported"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "picture_unsupported"),
        (b"%PDF-1.7", "picture_unsupported"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "picture_unsupported"),
        (photo("GIF"), "picture_unsupported"),
        (photo("TIFF"), "picture_unsupported"),
        (photo("BMP"), "picture_unsupported"),
        (photo("AVIF"), "picture_unsupported"),
        (photo("JPEG2000"), "picture_unsupported"),
        (photo("ICO"), "picture_unsupported"),
        (b"\xff\xd8\xff", "picture_unreadable"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 1000, "picture_unreadable"),
        (b"\x89PNG\r\n\x1a\n", "picture_unreadable"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "picture_unreadable"),
        (b"\0\0\0\x18ftypheic", "picture_unreadable"),
        (png(0, 0), "picture_unreadable"),
        (png(10, 10, lines=b"not deflated"), "picture_unreadable"),
    ],
)
def test_what_is_no_picture_of_ours_is_refused_by_its_content(data: bytes, code: str) -> None:
    assert refusal(data) == code


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_off_is_refused(kind: str) -> None:
    data = photo(kind)
    for part in (0.3, 0.6, 0.9):
        assert refusal(data[: int(len(data) * part)]) == "picture_unreadable"


def test_what_is_too_big_is_not_even_looked_at() -> None:
    assert refusal(photo() + bytes(MOST_BYTES)) == "picture_too_big"
    fits = photo()
    assert read_picture(fits + bytes(MOST_BYTES - len(fits))).width == 640


BOMBS = {
    "PNG header": lambda: png(50_000, 50_000),
    "PNG header, 2 ** 31": lambda: png(2**31 - 1, 2**31 - 1),
    "PNG pixels": lambda: png_bomb(12_000),
    "WebP header": lambda: webp_header(16_383, 16_383),
    "WebP canvas": lambda: webp_header(2**24, 2**24),
    "WebP pixels": lambda: encode(Image.new("RGB", (8000, 8000)), "WEBP", method=0),
    "JPEG progressive": lambda: encode(Image.new("RGB", (8000, 8000)), "JPEG", progressive=True),
    "JPEG header": lambda: photo().replace(
        (480).to_bytes(2, "big") + (640).to_bytes(2, "big"), b"\xff\xff\xff\xff"
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_what_it_declares(name: str) -> None:
    data = BOMBS[name]()
    assert len(data) < MOST_BYTES
    assert refusal(data) == "picture_too_many_pixels"


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_bomb_beside_the_picture_is_not_unpacked(kind: bytes) -> None:
    data = text_bomb(kind)
    assert len(data) < 1_000_000
    peak, answer = decode_alone(data)
    assert answer.startswith((b"ok 8 8\n", b"picture_unreadable\n"))
    assert peak < 100 * 1024**2


def test_a_huge_exif_is_dropped_like_a_small_one() -> None:
    """A PNG's may be megabytes, with a count of entries that promises more."""
    tags = b"MM\0*\0\0\0\x08\xff\xff" + os.urandom(4_000_000)
    peak, answer = decode_alone(encode(plate(64, 64), "PNG", exif=tags))
    assert answer.startswith(b"ok 64 64\n")
    assert peak < 150 * 1024**2


LARGEST = {
    "JPEG": lambda: encode(Image.new("RGB", (12_000, 9_100)), "JPEG"),
    "JPEG progressive": lambda: encode(
        Image.new("RGB", (7_900, 5_000)), "JPEG", progressive=True, subsampling=0
    ),
    "PNG": lambda: encode(Image.new("RGBA", (6_000, 4_980)), "PNG", compress_level=1),
    "PNG palette": lambda: encode(Image.new("P", (6_000, 4_980)), "PNG", compress_level=1),
    "WebP": lambda: encode(Image.new("RGB", (5_000, 4_390)), "WEBP", method=0),
    "WebP transparent": lambda: encode(Image.new("RGBA", (5_000, 4_390)), "WEBP", method=0),
    "HEIF": lambda: encode(Image.new("RGB", (4_032, 3_024)), "HEIF"),
    "HEIF of 48 MP": lambda: encode(Image.new("RGB", (8_064, 6_048)), "HEIF"),
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_that_is_taken_fits_into_the_memory_it_may_take(name: str, long: bool) -> None:
    if name == "HEIF of 48 MP" and not long:
        pytest.skip("takes half a minute to make: --long")
    peak, answer = decode_alone(LARGEST[name]())
    assert answer.startswith(b"ok "), answer[:50]
    print(f"{name}: {peak / 1024**2:.0f} MiB")
    assert peak < decoding.MEMORY_BYTES + 30 * 1024**2


def scans(many: int) -> bytes:
    """A progressive JPEG that sends its last scan again and again: kilobytes, hours of work."""
    data = encode(Image.new("RGB", (6000, 6000)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * many + data[-2:]


def test_what_takes_too_long_is_ended() -> None:
    data = scans(3000)
    assert len(data) < MOST_BYTES
    assert refusal(data) == "picture_unreadable"


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@contextmanager
def somebody_elses_turn() -> Iterator[subprocess.Popen[bytes]]:
    """A decoder that has its turn and does not end: its picture does not come."""
    from django.conf import settings as configured

    lock = configured.RUNTIME_DIR / "pictures.lock"
    process = subprocess.Popen(
        [sys.executable, "-I", str(DECODER), str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )

    def taken() -> bool:
        with lock.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    wait_for(taken, "it has its turn")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_who_waits_in_vain_is_told_so_and_a_killed_one_gives_its_turn_back() -> None:
    with somebody_elses_turn() as process:
        with pytest.raises(PicturesBusy):
            read_picture(photo(), patience=0.3)
        process.kill()
        assert read_picture(photo()).width == 640


def test_many_at_once_take_turns_and_all_are_read() -> None:
    expected = read_picture(photo())
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(lambda _: read_picture(photo(), patience=60), range(8)))
    assert pictures == [expected] * 8


def test_the_decoder_gets_no_secret() -> None:
    """It waits for its turn, and so can be looked at."""
    with somebody_elses_turn() as process, ThreadPoolExecutor(1) as pool:
        before = children()
        reading = pool.submit(read_picture, photo(), patience=120)
        (pid,) = wait_for(lambda: children() - before, "it is started")
        assert wait_for(
            lambda: DECODER.name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes(), "it is it"
        )
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""
        process.kill()
        assert reading.result().width == 640


SAMPLES = [photo(kind) for kind in KINDS]


@given(data=st.data())
@settings(deadline=None)
def test_a_mutated_picture_is_a_picture_or_a_refusal(data: st.DataObject) -> None:
    picture = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 8))):
        where = data.draw(st.integers(0, len(picture) - 1))
        match data.draw(st.sampled_from(["change", "cut", "insert", "double"])):
            case "change":
                picture[where] = data.draw(st.integers(0, 255))
            case "cut":
                del picture[where : where + data.draw(st.integers(1, 50))]
            case "insert":
                picture[where:where] = data.draw(st.binary(max_size=20))
            case "double":
                picture[where:where] = picture[where : where + 200]
        if not picture:
            break
    try:
        read = read_picture(bytes(picture))
    except BadPicture as error:
        code = error.code
    else:
        code = ""
        assert opened(read).size == (read.width, read.height)
        assert max(read.width, read.height) <= decoding.LONGEST_SIDE
    assert code in {"", *CODES}


def decode_alone(data: bytes) -> tuple[int, bytes]:
    """The most bytes that the decoder held in memory, and its answer."""
    measure = (
        "import resource, subprocess, sys;"
        "done = subprocess.run(sys.argv[1:], stdin=sys.stdin);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measure, sys.executable, "-I", str(DECODER), LOCK],
        input=data,
        capture_output=True,
        check=True,
    )
    return int(done.stderr.split()[-1]) * 1024, done.stdout
