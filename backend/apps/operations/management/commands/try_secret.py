"""Whether a secret is believed, for scripts/rotate-secret.sh."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.operations import trials


class Command(BaseCommand):
    help = (
        "Read a secret from standard input and print whether it is 'believed' or 'refused': by "
        "this process and what it talks to (here), or by the provider (there)."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        ends = parser.add_subparsers(dest="where", required=True)
        for where, names in (("here", trials.HERE), ("there", trials.THERE)):
            ends.add_parser(where).add_argument("name", choices=sorted(names))

    def handle(self, *args: Any, **options: Any) -> None:
        secret = sys.stdin.readline().rstrip("\n")
        if not secret:
            raise CommandError("give the secret on standard input")
        try:
            believed = trials.is_believed(options["where"], options["name"], secret)
        except trials.Untold as error:
            raise CommandError(f"{options['name']}: {error}") from None
        self.stdout.write("believed" if believed else "refused")
