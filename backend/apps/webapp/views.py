"""The one page of the product; everything else on it comes from the API."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.http import require_safe

# Telegram's web client shows the page in a frame, which X-Frame-Options cannot allow by name.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; "
    "frame-ancestors https://*.telegram.org"
)


@require_safe
@xframe_options_exempt
@cache_control(no_cache=True)
def app(request: HttpRequest) -> HttpResponse:
    """Show the page; it knows nobody, so it is the same for all."""
    response = render(request, "webapp/app.html", {"development_login": settings.DEVELOPMENT_LOGIN})
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
