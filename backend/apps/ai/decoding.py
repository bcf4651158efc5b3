"""A program that reads one picture of unknown origin, in a process of its own.

What decodes a stranger's bytes is written in C, and can crash or eat memory and time. Here the
kernel bounds both, and whatever happens, the server goes on. `apps.ai.pictures` starts it:

    python -I decoding.py LOCK <picture >answer

The answer is one line, `ok WIDTH HEIGHT`, and the JPEG after it; or the code of why not.
"""

import fcntl
import io
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where it is this process's turn: one that waits takes no memory
    from PIL import Image

# Enough for what MOST_PIXELS lets through. One process works at a time in a container, so this,
# and not its multiple, is what pictures add to a server's memory.
MEMORY_BYTES = 400 * 1024**2
CPU_SECONDS = 5

# What a header may declare. Most of these take 7 to 16 bytes a pixel while they are decoded;
# a JPEG is decoded at a fraction of its size, unless it is progressive.
MOST_PIXELS = {"JPEG": 110_000_000, "PNG": 30_000_000, "WEBP": 22_000_000, "HEIF": 49_000_000}
MOST_PIXELS_PROGRESSIVE = 40_000_000

LONGEST_SIDE = 1024
QUALITY = 85
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class Refused(Exception):
    """The code of why not."""


def main(lock: str) -> None:
    with Path(lock).open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # given back by the kernel, however this process ends
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.nice(10)  # requests come first
        try:
            answer = render(sys.stdin.buffer.read())
        except Refused as refused:
            answer = f"{refused}\n".encode()
        except MemoryError:
            answer = b"picture_too_many_pixels\n"
        except Exception:  # a codec raises anything for what is broken
            answer = b"picture_unreadable\n"
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
    os._exit(0)  # a codec that failed may fail again at its own end


def format_of(data: bytes) -> str:
    """By content: a name or a Content-Type is only a claim."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS:
        return "HEIF"
    raise Refused("picture_unsupported")


def render(data: bytes) -> bytes:
    """The answer: the picture upright, in sRGB, on white, no side longer than LONGEST_SIDE, with
    nothing of what came along with it. Of several frames it is the first.
    """
    from PIL import ImageOps

    image = open_picture(data, format_of(data))
    if image.info.get("progressive") and image.width * image.height > MOST_PIXELS_PROGRESSIVE:
        raise Refused("picture_too_many_pixels")
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), reducing_gap=2.0)
    image.load()  # a small one is not decoded by then
    with suppress(Exception):  # a broken note of how the camera was held
        image = ImageOps.exif_transpose(image)
    image = to_srgb(on_white(image))
    image.info.clear()  # a comment would be written again
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=QUALITY)
    return f"ok {image.width} {image.height}\n".encode() + encoded.getvalue()


def open_picture(data: bytes, kind: str) -> "Image.Image":
    """Read the header alone, and refuse what it declares to be too large."""
    from PIL import Image

    if kind == "HEIF":
        from pi_heif import options, register_heif_opener

        options.DECODE_THREADS = 1
        register_heif_opener(thumbnails=False)
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS[kind] // 2  # an error at twice that, a warning before
    try:
        return Image.open(io.BytesIO(data), formats=[kind])
    except Image.DecompressionBombError:
        raise Refused("picture_too_many_pixels") from None


def on_white(image: "Image.Image") -> "Image.Image":
    """The picture without transparency, and with 8 bits a channel."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        return image.point(lambda value: value / 256).convert("L")
    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("RGB")


def to_srgb(image: "Image.Image") -> "Image.Image":
    """By the profile inside, where there is one that can be read."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if profile:
        with suppress(Exception):  # broken, or of another kind of picture
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, source, target, outputMode="RGB") or image
    return image.convert("RGB")


if __name__ == "__main__":
    main(sys.argv[1])
