"""Who: people known by their Telegram id, and staff with a password."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models


class UserManager(BaseUserManager["User"]):
    def create_superuser(self, username: str, password: str, **fields: Any) -> "User":
        user = self.model(username=username, is_staff=True, is_superuser=True, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person. Eaters have a `telegram_id`, staff a `username`; somebody may have both."""

    # Telegram's ids have up to 52 bits.
    telegram_id = models.BigIntegerField(unique=True, null=True)
    username = models.CharField(max_length=64, unique=True, null=True)  # noqa: DJ001 (unique where there)
    first_name = models.CharField(max_length=255, blank=True)
    language = models.CharField(
        max_length=2, choices=[("ru", "Русский"), ("en", "English")], default="ru"
    )
    time_zone = models.CharField(max_length=64, default="Europe/Moscow")
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = UserManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.username or f"telegram:{self.telegram_id}"
