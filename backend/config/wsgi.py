"""The WSGI application that Gunicorn serves."""

from config import require_settings_module

require_settings_module()

from django.core.wsgi import get_wsgi_application  # noqa: E402 (settings must be named first)
from django.urls import get_resolver  # noqa: E402

application = get_wsgi_application()
# Routes are imported at the first request otherwise: once in each worker, while somebody waits.
_ = get_resolver().url_patterns
