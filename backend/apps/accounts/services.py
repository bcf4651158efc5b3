"""What changes people: they appear when they first log in."""

from apps.accounts.models import User

LANGUAGES = ("ru", "en")


def get_or_create_user(*, telegram_id: int, first_name: str = "", language: str = "") -> User:
    """The user with this Telegram id; made where there is none, their name kept current."""
    user, created = User.objects.get_or_create(
        telegram_id=telegram_id,
        defaults={
            "first_name": first_name[:255],
            "language": language if language in LANGUAGES else "ru",
        },
    )
    if not created and first_name and user.first_name != first_name[:255]:
        user.first_name = first_name[:255]
        user.save(update_fields=["first_name"])
    return user
