from datetime import time

from django.apps import AppConfig


class AiConfig(AppConfig):
    name = "apps.ai"

    def ready(self) -> None:
        from apps.accounts import personal_data
        from apps.ai import photos
        from apps.jobs import periods

        personal_data.register(
            personal_data.PersonalData(
                name="photos",
                export=photos.export_photos,
                erase=photos.erase_photos,
                erase_outside=photos.erase_photo_files,
            )
        )
        for name, run in (
            ("ai.remove_expired_photos", photos.remove_expired_photos),
            ("ai.remove_orphaned_photos", photos.remove_orphans),
        ):
            periods.register(periods.Routine(name=name, run=run, at=time(4, 30)))
