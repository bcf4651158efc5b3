from datetime import time

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"

    def ready(self) -> None:
        from apps.accounts.personal_data import PersonalData, register
        from apps.accounts.queries import export_profile
        from apps.accounts.services import erase_profile, remove_old_sessions
        from apps.jobs import periods

        register(PersonalData(name="profile", export=export_profile, erase=erase_profile))
        periods.register(
            periods.Routine(name="accounts.old_sessions", run=remove_old_sessions, at=time(4, 20))
        )
