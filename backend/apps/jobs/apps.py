from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "apps.jobs"

    def ready(self) -> None:
        # Whoever sends a task needs the configured application, not Celery's default one.
        import config.celery  # noqa: F401
