"""Development and the demonstration without Docker."""

from config.logs import logging_config
from config.settings.base import *  # noqa: F403
from config.settings.base import LOG_LEVEL, RELEASE, STORAGES

DEVELOPMENT_LOGIN = True
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
LOGGING = logging_config(level=LOG_LEVEL, json=False, release=RELEASE)
