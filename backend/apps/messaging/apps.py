from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "apps.messaging"

    def ready(self) -> None:
        from apps.accounts.personal_data import PersonalData, register
        from apps.messaging.queries import export_messages
        from apps.messaging.services import erase_messages

        register(PersonalData(name="messages", export=export_messages, erase=erase_messages))
