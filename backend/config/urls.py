"""Which app answers which address."""

from django.apps import apps
from django.urls import include, path

from apps.billing.views import yookassa_notification
from config.api import api

urlpatterns = [
    path("api/v1/billing/yookassa/notifications", yookassa_notification),
    path("api/v1/", api.urls),
    path("", include("apps.bot.urls")),
    path("", include("apps.operations.urls")),
    path("", include("apps.webapp.urls")),
]

if apps.is_installed("django.contrib.admin"):  # not where a worker checks its addresses
    from django.contrib import admin

    admin.autodiscover()
    admin.site.site_header = admin.site.site_title = "EatFit24"
    admin.site.index_title = "Console"
    urlpatterns.append(path("console/", admin.site.urls))

handler400 = "config.problems.bad_request"
handler404 = "config.problems.not_found"
handler500 = "config.problems.server_error"
