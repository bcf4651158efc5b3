"""Pictures from strangers: whatever was uploaded, out comes a small upright JPEG, or a refusal."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings

MOST_BYTES = 10 * 1024**2
PATIENCE_SECONDS = 20.0

DECODER = Path(__file__).with_name("decoding.py")
CODES = ("picture_unsupported", "picture_too_many_pixels", "picture_unreadable")


@dataclass(frozen=True)
class Picture:
    """A JPEG that we encoded ourselves; `sha256` is of its bytes, sides are in pixels."""

    jpeg: bytes
    sha256: str
    width: int
    height: int


class BadPicture(Exception):
    """Not a picture that we take; `code` says why.

    `picture_too_big`: more than MOST_BYTES. `picture_unsupported`: by its content no JPEG, PNG,
    WebP or HEIC. `picture_too_many_pixels`: decoding it would take too much memory.
    `picture_unreadable`: broken or cut off.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class PicturesBusy(Exception):
    """Nobody came to it in time: others' pictures are being read. Another try makes sense."""


def read_picture(source: bytes | BinaryIO, *, patience: float = PATIENCE_SECONDS) -> Picture:
    """Decode the picture elsewhere and encode it anew; the same bytes give the same picture.

    A file must be one of the system's, and is read from its beginning. Raises BadPicture, and
    PicturesBusy after `patience` seconds.
    """
    size = len(source) if isinstance(source, bytes) else source.seek(0, 2)
    if size > MOST_BYTES:
        raise BadPicture("picture_too_big")
    line, _, jpeg = _decode(source, patience).partition(b"\n")
    match line.decode().split():
        case ["ok", width, height]:
            sha256 = hashlib.sha256(jpeg).hexdigest()
            return Picture(jpeg=jpeg, sha256=sha256, width=int(width), height=int(height))
        case [code] if code in CODES:
            raise BadPicture(code)
    raise BadPicture("picture_unreadable")  # the decoder crashed, or took its time


def _decode(source: bytes | BinaryIO, patience: float) -> bytes:
    """What the decoder answers. It gets no environment, so it has no secret to give away."""
    command = [sys.executable, "-I", str(DECODER), str(settings.RUNTIME_DIR / "pictures.lock")]
    given: dict[str, Any] = {"input": source}
    if not isinstance(source, bytes):
        source.seek(0)
        given = {"stdin": source}
    try:
        done = subprocess.run(
            command,
            **given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            timeout=max(patience, 0.0),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PicturesBusy from None
    output: bytes = done.stdout
    return output
