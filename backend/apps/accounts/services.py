"""What changes people: they appear when they first log in."""

from zoneinfo import available_timezones

from django.conf import settings

from apps.accounts.models import User

LANGUAGES = ("ru", "en")


def get_or_create_user(
    *, telegram_id: int, first_name: str = "", language: str = "", time_zone: str = ""
) -> User:
    """The user with this Telegram id; made where there is none, their name kept current.

    Language and time zone are those of the first login, where they are known ones.
    """
    user, created = User.objects.get_or_create(
        telegram_id=telegram_id,
        defaults={
            "first_name": first_name[:255],
            "language": language if language in LANGUAGES else "ru",
            "time_zone": time_zone if time_zone in available_timezones() else settings.TIME_ZONE,
        },
    )
    if not created and first_name and user.first_name != first_name[:255]:
        user.first_name = first_name[:255]
        user.save(update_fields=["first_name"])
    return user
