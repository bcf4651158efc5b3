"""Does everything that is stored follow from the ledger?"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.billing.audit import audit


class Command(BaseCommand):
    help = "Rebuild balances and entitlements from the ledger and print every difference."

    def handle(self, *args: Any, **options: Any) -> None:
        differences = 0
        for difference in audit():
            differences += 1
            self.stdout.write(difference)
        if differences:
            raise CommandError(f"{differences} differences")
        self.stdout.write("the ledger and what follows from it agree")
