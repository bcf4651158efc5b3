"""What this app knows about a person, told and forgotten. What a model was paid stays."""

from typing import Any

from apps.accounts.models import User
from apps.accounts.personal_data import PersonalData
from apps.ai import photos
from apps.nutrition.models import NUTRIENTS

ITEM_FIELDS = ("name", "grams", *NUTRIENTS)
TOLD = (
    "id",
    "created_at",
    "status",
    "text",
    "language",
    "provider",
    "model",
    "outcome",
    "notes",
    "error_code",
)


def export_recognitions(user: User) -> list[dict[str, Any]]:
    """What was asked, what the model said, and how that was corrected; three queries."""
    asked = user.recognitions.order_by("created_at").prefetch_related("items", "corrections")
    return [
        {
            **{field: getattr(recognition, field) for field in TOLD},
            **{
                lines: [{field: getattr(line, field) for field in ITEM_FIELDS} for line in there]
                for lines, there in (
                    ("items", recognition.items.all()),
                    ("corrections", recognition.corrections.all()),
                )
            },
        }
        for recognition in asked
    ]


def erase_recognitions(user: User) -> None:
    user.recognitions.all().delete()


RECOGNITIONS = PersonalData(
    name="recognitions", export=export_recognitions, erase=erase_recognitions
)
PHOTOS = PersonalData(
    name="photos",
    export=photos.export_photos,
    erase=photos.erase_photos,
    erase_outside=photos.erase_photo_files,
)
