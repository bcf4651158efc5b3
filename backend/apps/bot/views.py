"""The webhook: where Telegram tells what happens in the bot's chats."""

import hmac
import json

from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from apps.bot.reception import receive_update
from apps.bot.updates import Malformed, read_update
from config.problems import Problem, problem_response

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105


def webhook(request: HttpRequest) -> HttpResponse:
    """Keep the update and answer 200 at once; Telegram sends again whatever gets another answer."""
    if not _is_telegram(request):
        return problem_response(Problem(403, "forbidden", _("This is for Telegram alone")))
    if request.method != "POST":
        response = problem_response(
            Problem(405, "method_not_allowed", _("The request is not valid"))
        )
        response["Allow"] = "POST"
        return response
    try:
        update_id, event = read_update(json.loads(request.body))
    except (Malformed, ValueError, RecursionError):
        return problem_response(Problem(400, "malformed_update", _("The request is not valid")))
    if event is not None:
        try:
            receive_update(update_id=update_id, event=event)
        except OperationalError:
            title = _("Please try again in a moment")
            return problem_response(Problem(503, "temporarily_unavailable", title))
    return HttpResponse()


def _is_telegram(request: HttpRequest) -> bool:
    """Whoever knows the secret that we registered the webhook with. Unset: nobody does.

    While it is rotated, what was sent with the former one is heard as well.
    """
    if not settings.TELEGRAM_BOT_API_SECRET:
        return False
    secrets = [settings.TELEGRAM_BOT_API_SECRET, *settings.TELEGRAM_BOT_API_SECRET_FALLBACKS]
    given = request.headers.get(SECRET_HEADER, "").encode()
    return any(hmac.compare_digest(given, secret.encode()) for secret in secrets)
