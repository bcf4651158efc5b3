"""Where the provider calls us. Not part of the API's description: it is for nobody else."""

import logging

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from apps.billing.notifications import (
    LARGEST_BODY,
    NotANotification,
    is_from_provider,
    receive_notification,
)
from config.addresses import client_address
from config.problems import Problem, problem_response

logger = logging.getLogger(__name__)


@csrf_exempt
@require_POST
def yookassa_notification(request: HttpRequest) -> HttpResponse:
    """Keep it and answer: the provider is asked later, by a worker."""
    sender = client_address(request)
    if not is_from_provider(sender):
        logger.warning("notification from a stranger", extra={"sender": str(sender)})
        return problem_response(Problem(403, "not_the_provider", _("This is not for you")))
    try:
        body = request.body
    except RequestDataTooBig:
        body = b" " * (LARGEST_BODY + 1)
    if len(body) > LARGEST_BODY:
        return problem_response(Problem(413, "request_too_big", _("The request is too big")))
    try:
        receive_notification(body=body, sender=str(sender))
    except NotANotification:
        logger.warning("not a notification", extra={"sender": str(sender), "length": len(body)})
        return problem_response(Problem(400, "bad_request", _("The request is not valid")))
    return HttpResponse(status=200)
