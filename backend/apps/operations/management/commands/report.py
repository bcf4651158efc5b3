"""Keeps the outcome of an operator's script where the console shows it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.operations.models import Report


class Command(BaseCommand):
    help = "Record the outcome of a script."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="of the script, such as restore-rehearsal")
        parser.add_argument("result", choices=["ok", "failed"])
        parser.add_argument("detail", help="one line")

    def handle(self, *args: Any, name: str, result: str, detail: str, **options: Any) -> None:
        Report.objects.create(name=name, ok=result == "ok", detail=detail)
