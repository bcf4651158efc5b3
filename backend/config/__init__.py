"""Configuration: the contract of the environment, settings, and the entry points."""

import os


def require_settings_module() -> None:
    """Nothing chooses the settings silently.

    Raises ImproperlyConfigured with what to set where DJANGO_SETTINGS_MODULE is not.
    """
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        from django.core.exceptions import ImproperlyConfigured

        raise ImproperlyConfigured(
            "DJANGO_SETTINGS_MODULE is not set: set it to config.settings.production, "
            "config.settings.local or config.settings.test."
        )
