"""`makemigrations`, by developers alone."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands.makemigrations import Command as DjangoCommand

from config.variables import PRODUCTION


class Command(DjangoCommand):
    def handle(self, *app_labels: str, **options: Any) -> None:
        if settings.SETTINGS_MODULE == PRODUCTION and not (
            options["check_changes"] or options["dry_run"]
        ):
            raise CommandError(
                "migrations are made in development, reviewed and committed; "
                "in production there is --check, and migrate applies what was committed"
            )
        super().handle(*app_labels, **options)
