"""The catalogue, for operators."""

from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from apps.billing.plans import Terms, add_version, current_versions


class Command(BaseCommand):
    help = "List plans, or sell one on new terms from now on."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="what each plan costs and gives now")
        add = actions.add_parser("add", help="a new version; who bought an earlier one keeps it")
        add.add_argument("code")
        add.add_argument("--price", type=Decimal, required=True, help="roubles")
        add.add_argument("--months", type=int, required=True)
        add.add_argument("--recognitions", type=int, required=True, help="a month's")
        add.add_argument("--trial-days", type=int, default=0)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if action == "add":
            names = ("price", "months", "recognitions", "trial_days")
            try:
                add_version(
                    code=options["code"], terms=Terms(**{name: options[name] for name in names})
                )
            except (DatabaseError, ArithmeticError) as error:
                raise CommandError(f"no plan can be sold on these terms: {error}") from None
        for version in current_versions():
            self.stdout.write(
                f"{version}: {version.price} ₽ for {version.months} months, "
                f"{version.recognitions} recognitions a month, {version.trial_days} days of trial"
            )
