from django.apps import AppConfig


class BotConfig(AppConfig):
    name = "apps.bot"

    def ready(self) -> None:
        from apps.accounts.personal_data import PersonalData, register
        from apps.ai.models import Recognition
        from apps.bot.models import Update
        from apps.bot.services import apologise, erase_updates, export_updates, wake_update
        from apps.jobs.services import watch_ends

        watch_ends(Recognition, wake_update)
        watch_ends(Update, apologise)
        register(PersonalData(name="bot", export=export_updates, erase=erase_updates))
