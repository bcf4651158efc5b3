from datetime import time

from django.apps import AppConfig


class AiConfig(AppConfig):
    name = "apps.ai"

    def ready(self) -> None:
        from apps.accounts.personal_data import register
        from apps.ai import photos
        from apps.ai.personal_data import PHOTOS, RECOGNITIONS
        from apps.jobs import periods

        register(RECOGNITIONS)
        register(PHOTOS)
        for name, run in (
            ("ai.remove_expired_photos", photos.remove_expired_photos),
            ("ai.remove_orphaned_photos", photos.remove_orphans),
        ):
            periods.register(periods.Routine(name=name, run=run, at=time(4, 30)))
