"""Tests: production's code on the embedded PostgreSQL and Redis."""

from config.settings.base import *  # noqa: F403
from config.settings.base import DATABASES, INSTALLED_APPS, STORAGES

INSTALLED_APPS = [*INSTALLED_APPS, "tests.errands", "tests.indexed"]
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEVELOPMENT_LOGIN = False
# Tests of the limits ask for production's.
RATE_LIMITS = {"login": (100_000, 1), "write": (100_000, 1)}
DATABASES["default"]["ENGINE"] = "tests.database"
