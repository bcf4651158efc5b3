"""Have Telegram tell this deployment what happens in the bot's chats."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from apps.bot.updates import ALLOWED_UPDATES
from apps.messaging import telegram

CONNECTIONS = 4
"""How many updates Telegram sends at once: half of what the backend serves."""


class Command(BaseCommand):
    help = "Register PUBLIC_URL as the bot's webhook, with TELEGRAM_BOT_API_SECRET."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.TELEGRAM_BOT_API_SECRET:
            raise CommandError("TELEGRAM_BOT_API_SECRET is unset: the webhook would refuse all")
        url = f"{settings.PUBLIC_URL}{reverse('bot-webhook')}"
        try:
            telegram.call(
                "setWebhook",
                url=url,
                secret_token=settings.TELEGRAM_BOT_API_SECRET,
                allowed_updates=ALLOWED_UPDATES,
                max_connections=CONNECTIONS,
            )
            info = telegram.call("getWebhookInfo")
        except (telegram.TelegramError, telegram.TelegramAway) as error:
            raise CommandError(f"Telegram says: {error}") from None
        self.stdout.write(f"webhook: {info['url']}")
        self.stdout.write(f"updates that wait: {info.get('pending_update_count', 0)}")
        if last_error := info.get("last_error_message"):
            self.stdout.write(f"last error: {last_error}")
