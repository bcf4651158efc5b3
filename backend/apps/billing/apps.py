from datetime import time

from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "apps.billing"

    def ready(self) -> None:
        from apps.accounts.personal_data import PersonalData, register
        from apps.billing.digest import send_digest
        from apps.billing.queries import export_billing
        from apps.billing.reconciliation import reconcile_nightly
        from apps.billing.subscriptions import erase_billing
        from apps.jobs import periods

        register(PersonalData(name="billing", export=export_billing, erase=erase_billing))
        periods.register(
            periods.Routine(name="billing.reconcile", run=reconcile_nightly, at=time(3, 20))
        )
        periods.register(
            periods.Routine(
                name="billing.digest", run=send_digest, at=time(9, 0), weekday=periods.MONDAY
            )
        )
