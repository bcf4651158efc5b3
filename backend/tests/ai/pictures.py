"""Pictures to upload: sound ones, and each kind that is not."""

import io
import struct
import zlib
from typing import Any

from PIL import Image

RED, GREEN, BLUE = (200, 30, 30), (30, 180, 60), (30, 60, 200)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    if kind == "HEIF":
        import pillow_heif

        file = io.BytesIO()
        options = {"quality": 90, "enc_params": {"preset": "ultrafast"}, **options}
        pillow_heif.from_pillow(image).save(file, **options)
        return file.getvalue()
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plate(width: int = 640, height: int = 480, mode: str = "RGB") -> Image.Image:
    """Red at the top left, green at the top right, blue below."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    return image.convert(mode)


def photo(kind: str = "JPEG", **options: Any) -> bytes:
    return encode(plate(), kind, **options)


def exif(*, orientation: int = 1, note: str = "") -> Image.Exif:
    """What a telephone writes: how it was held, and where it was."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010F] = note or "Telephone"
    tags.get_ifd(0x8825).update({1: "N", 2: (55.0, 45.0, 7.0), 3: "E", 4: (37.0, 37.0, 2.0)})
    return tags


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png(width: int, height: int, *chunks: bytes, lines: bytes = b"") -> bytes:
    """A PNG with this header, 8-bit RGB, whatever its data comes to."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", lines), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_bomb(side: int) -> bytes:
    """Kilobytes that are a black square of `side` times `side` pixels."""
    packer = zlib.compressobj(9)
    line = bytes(1 + side * 3)
    return png(
        side, side, lines=b"".join(packer.compress(line) for _ in range(side)) + packer.flush()
    )


def text_bomb(kind: bytes, megabytes: int = 200) -> bytes:
    """A tiny PNG with a compressed chunk (zTXt, iTXt, iCCP) that unpacks to megabytes."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()
    before = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\1\0\0\0", b"iCCP": b"profile\0\0"}
    line = zlib.compress(bytes(1 + 3 * 8) * 8)
    return png(8, 8, chunk(kind, before[kind] + packed), lines=line)


def webp_header(width: int, height: int) -> bytes:
    """A WebP that declares a canvas, and holds next to nothing."""
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    lossless = b"VP8L" + struct.pack("<I", 24) + b"\x2f" + bytes(23)
    body = b"WEBP" + extended + lossless
    return b"RIFF" + struct.pack("<I", len(body)) + body
