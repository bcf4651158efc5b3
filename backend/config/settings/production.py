"""Production. Everything that makes a start unsafe is refused here, by name."""

import os

from django.core.exceptions import ImproperlyConfigured

from config import contract
from config.settings.base import *  # noqa: F403
from config.variables import PRODUCTION

try:
    # Whoever imports this module gets production's rules, whatever the variable says.
    contract.load({**os.environ, "DJANGO_SETTINGS_MODULE": PRODUCTION})
except contract.ContractError as error:
    raise ImproperlyConfigured(str(error)) from None

# Whether it was HTTPS is in wsgi.url_scheme: Gunicorn believes X-Forwarded-Proto from
# PROXY_NETWORKS alone, and SECURE_PROXY_SSL_HEADER would believe it from anybody.
SECURE_HSTS_SECONDS = 365 * 24 * 3600
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SILENCED_SYSTEM_CHECKS = [
    "security.W003",  # a cookie logs into the console alone, which checks its forms itself
    "security.W005",  # whether subdomains are HTTPS too is for their owner to say
    "security.W008",  # the proxy redirects to HTTPS; plain HTTP inside must be served
    "security.W021",  # preloading binds the whole domain for years
]
