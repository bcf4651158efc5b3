"""Which app answers which address."""

from django.contrib import admin
from django.urls import include, path

from apps.billing.views import yookassa_notification
from config.api import api

admin.autodiscover()
admin.site.site_header = admin.site.site_title = "EatFit24"
admin.site.index_title = "Console"

urlpatterns = [
    path("console/", admin.site.urls),
    path("api/v1/billing/yookassa/notifications", yookassa_notification),
    path("api/v1/", api.urls),
    path("", include("apps.bot.urls")),
    path("", include("apps.operations.urls")),
    path("", include("apps.webapp.urls")),
]

handler400 = "config.problems.bad_request"
handler404 = "config.problems.not_found"
handler500 = "config.problems.server_error"
