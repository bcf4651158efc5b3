"""Health for supervisors and proxies."""

from django.http import HttpRequest, JsonResponse

from apps.operations.api import health_report


def health(request: HttpRequest) -> JsonResponse:
    status, report = health_report()
    response = JsonResponse(report, status=status)
    response["Cache-Control"] = "no-store"
    return response


def live(request: HttpRequest) -> JsonResponse:
    """The process alone: it answers, so a thread of it serves."""
    return JsonResponse({"status": "ok"})
