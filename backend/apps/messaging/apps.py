from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "apps.messaging"

    def ready(self) -> None:
        from apps.accounts.personal_data import PersonalData, register
        from apps.jobs.services import watch_ends
        from apps.messaging.models import Message
        from apps.messaging.queries import export_messages
        from apps.messaging.services import erase_messages, wake_next

        watch_ends(Message, wake_next)
        register(PersonalData(name="messages", export=export_messages, erase=erase_messages))
