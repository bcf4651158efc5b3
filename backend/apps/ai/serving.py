"""A photo on its way to its owner: nginx sends the file where it can, else we do."""

from django.conf import settings
from django.http import HttpResponse

from apps.ai.models import Photo
from apps.ai.photo_store import PhotoStoreAway, load_file

# nginx.conf: internal, so that no address from outside leads there.
INTERNAL = "/internal/photos/"


def serve_photo(photo: Photo) -> HttpResponse:
    """For who may see it. Raises PhotoStoreAway."""
    response = HttpResponse(content_type="image/jpeg")
    # It never changes, and is nobody else's business.
    response["Cache-Control"] = "private, max-age=86400, immutable"
    response["Vary"] = "Authorization"
    if settings.PHOTO_ACCEL:
        response["X-Accel-Redirect"] = f"{INTERNAL}{photo.key}"
        return response
    try:
        response.content = load_file(photo.key)
    except FileNotFoundError as error:
        raise PhotoStoreAway(str(error)) from None
    return response
