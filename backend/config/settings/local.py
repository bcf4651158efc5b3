"""Development and the demonstration without Docker."""

from config.logs import logging_config
from config.settings.base import *  # noqa: F403
from config.settings.base import LOG_LEVEL, RELEASE

DEVELOPMENT_LOGIN = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
LOGGING = logging_config(level=LOG_LEVEL, json=False, release=RELEASE)
