"""The WSGI application that Gunicorn serves."""

from config import require_settings_module

require_settings_module()

from django.core.wsgi import get_wsgi_application  # noqa: E402 (settings must be named first)

application = get_wsgi_application()
