"""The part of scripts/pre-deploy-check.sh that looks from inside the image."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.operations.before_deploy import Deploy, check_deploy


class Command(BaseCommand):
    help = (
        'Print ok, FAILED or warning, what, and a detail, by tabs. Reads {"compose": '
        'docker compose config --format json, "environment": .env} on standard input.'
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--first", action="store_true", help="there is no database yet")
        parser.add_argument("--image-bytes", type=int, default=0)
        parser.add_argument("--database-bytes", type=int, default=0)

    def handle(self, *args: Any, first: bool, **options: Any) -> None:
        told = json.load(sys.stdin)
        deploy = Deploy(
            **told,
            first=first,
            image_bytes=options["image_bytes"],
            database_bytes=options["database_bytes"],
        )
        for result, what, detail in check_deploy(deploy):
            self.stdout.write(f"{result}\t{what}\t{' '.join(detail.split())}")
