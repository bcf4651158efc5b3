"""manage.py ai_report: how good the models are, by what users corrected, and what they cost."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from apps.ai.corrections import report_costs, report_quality
from apps.ai.models import ProviderCall, Recognition


class Command(BaseCommand):
    help = "Print the error and the cost of each model, as Markdown tables."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=30, help="how far to look back")

    def handle(self, *args: Any, **options: Any) -> None:
        since = timezone.now() - timedelta(days=options["days"])
        self.stdout.write("| model | delivered | accepted | corrected | kcal error | grams error |")
        self.stdout.write("| --- | --- | --- | --- | --- | --- |")
        for row in report_quality(Recognition.objects.filter(created_at__gte=since)):
            cells = [
                row["model"] or row["provider"],
                row["delivered"],
                row["accepted"],
                share(Decimal(row["corrected"]) / row["accepted"] if row["accepted"] else None),
                share(row["kcal_error"]),
                share(row["grams_error"]),
            ]
            self.stdout.write(f"| {' | '.join(map(str, cells))} |")
        self.stdout.write("\n| model | calls | failed | cost, USD | mean time, s |")
        self.stdout.write("| --- | --- | --- | --- | --- |")
        for row in report_costs(ProviderCall.objects.filter(created_at__gte=since)):
            seconds = f"{row['milliseconds'] / 1000:.1f}"
            cells = [row["model"], row["calls"], row["failed"], f"{row['cost_usd']:f}", seconds]
            self.stdout.write(f"| {' | '.join(map(str, cells))} |")


def share(value: Decimal | None) -> str:
    return "–" if value is None else f"{value * 100:.1f} %"
