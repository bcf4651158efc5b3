"""Load the reference table of foods; does nothing when it is loaded already."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.nutrition.foods import load_foods

BAR_WIDTH = 30


class Command(BaseCommand):
    help = "Load the reference table of foods; does nothing when it is loaded already."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--force", action="store_true", help="load even an unchanged table")

    def handle(self, *, force: bool, **options: Any) -> None:
        loaded = load_foods(force=force, progress=self.show)
        if loaded.changed:
            self.say(
                f"Loaded {loaded.foods} foods, {loaded.measures} measures, {loaded.names} names."
            )
        else:
            self.say("Foods are up to date.")

    def show(self, what: str, written: int, rows: int) -> None:
        bar = "█" * (BAR_WIDTH * written // rows)
        if self.stdout.isatty() or written == rows:
            self.say(f"{what:<9} {bar:<{BAR_WIDTH}} {written}/{rows}", passing=True)

    def say(self, text: str, *, passing: bool = False) -> None:
        """On a terminal a passing line is overwritten by the next; a log keeps them all."""
        if self.stdout.isatty():
            self.stdout.write(f"\r\x1b[K{text}", ending="" if passing else "\n")
            self.stdout.flush()
        else:
            self.stdout.write(text)
