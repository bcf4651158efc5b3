"""A form with words and pictures, as a request brings it in: bounded at every step.

Bodies wait in nginx until they are whole. Here each file goes to a nameless one in /tmp, whose
size is that of compose.yml's tmpfs, and from there into the decoder: no process of ours ever
holds an upload in its memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from threading import BoundedSemaphore
from time import monotonic
from typing import Any, BinaryIO, TypeVar, cast

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, QueryDict, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from ninja import Schema
from ninja.errors import ValidationError
from pydantic import ValidationError as Invalid

from apps.ai.pictures import MOST_BYTES, BadPicture, Picture, PicturesBusy, read_picture
from apps.ai.problems import Refused
from config.problems import Problem

S = TypeVar("S", bound=Schema)

FORM = "multipart/form-data"
PHOTO = "photo"
MOST_PICTURES: int = settings.DATA_UPLOAD_MAX_NUMBER_FILES
# Of all pictures together; nginx.conf lets as much through.
MOST_FORM_BYTES = 20 * 1024**2 + 64 * 1024
# For all pictures of a request, to which nginx gives 35 s.
PATIENCE_SECONDS = 25.0


# Each upload waits for its turn with the decoder in a thread of Gunicorn's: others, and the health
# check, need some as well.
_places = BoundedSemaphore(max(1, settings.WEB_THREADS // 2))


@contextmanager
def place_for_upload() -> Iterator[None]:
    """Raises PicturesBusy at once where half of this process's threads have an upload already."""
    if not _places.acquire(blocking=False):
        raise PicturesBusy
    try:
        yield
    finally:
        _places.release()


class PictureUpload(FileUploadHandler):
    """Keeps nothing of a file that is too big, and nothing at all once a process has ended.

    What is refused is read to its end all the same: a proxy that finds the connection closed
    while it is still writing may lose the answer.
    """

    file: BinaryIO | None = None
    trouble: Exception | None = None

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self.trouble is None:
            # Closed when it is given up, or with the request.
            self.file = TemporaryFile(  # noqa: SIM115
                dir=settings.FILE_UPLOAD_TEMP_DIR, buffering=0
            )

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self.file is None:
            return
        if start + len(raw_data) > MOST_BYTES:
            self.give_up(BadPicture("picture_too_big"))
        elif not _fits(self.file, raw_data):
            self.give_up(PicturesBusy())

    def file_complete(self, file_size: int) -> "UploadedFile[bytes] | None":
        file, self.file = self.file, None
        if file is None:
            return None
        return UploadedFile(file, self.file_name, self.content_type, file_size)

    def upload_complete(self) -> None:
        if self.file is not None:  # the last one had no end
            self.give_up(MultiPartParserError("cut off"))
        if self.trouble is not None:
            raise self.trouble

    def give_up(self, trouble: Exception) -> None:
        """Make room at once; a file that nobody closes waits for the garbage collector."""
        self.trouble = trouble
        if self.file is not None:
            self.file.close()
            self.file = None


def _fits(file: BinaryIO, data: bytes) -> bool:
    """Write it; False where the tmpfs is full of others' uploads, and takes a part or nothing."""
    try:
        return file.write(data) == len(data)
    except OSError:
        return False


def read_form(request: HttpRequest) -> tuple[dict[str, Any], list[BinaryIO]]:
    """The form's fields, and the files of its field `photo`, as they came.

    Raises Problem, Refused, ValidationError, BadPicture and PicturesBusy.
    """
    if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_FORM_BYTES:
        raise Problem(413, "request_too_big", _("The request is too big"))
    try:
        fields, files = _parse(request)
    except TooManyFilesSent:
        raise Refused("too_many_pictures") from None
    except (MultiPartParserError, TooManyFieldsSent, UnreadablePostError):
        raise Problem(400, "malformed_form", _("The request is not a form")) from None
    unknown = [*(fields.keys() - {"text"}), *(files.keys() - {PHOTO})]
    if unknown:
        message = _("There is no such field")
        raise ValidationError(
            [{"type": "unknown", "loc": ("body", "body", name), "msg": message} for name in unknown]
        )
    return fields.dict(), [cast(BinaryIO, file.file) for file in files.getlist(PHOTO)]


def _parse(request: HttpRequest) -> "tuple[QueryDict, MultiValueDict[str, UploadedFile[bytes]]]":
    try:
        return request.POST, request.FILES
    except Exception as error:
        for handler in request.upload_handlers:
            if isinstance(handler, PictureUpload):
                handler.give_up(error)
        raise


def read_pictures(files: Sequence[BinaryIO]) -> list[Picture]:
    """Raises BadPicture and PicturesBusy."""
    enough = monotonic() + PATIENCE_SECONDS
    return [read_picture(file, patience=enough - monotonic()) for file in files]


def validated(schema: type[S], data: Any) -> S:
    """Raises ValidationError, as the framework does for a body that it reads itself."""
    try:
        return schema.model_validate(data)
    except Invalid as error:
        errors: list[dict[str, Any]] = [
            {**one, "loc": ("body", "body", *one["loc"])} for one in error.errors()
        ]
        raise ValidationError(errors) from None
