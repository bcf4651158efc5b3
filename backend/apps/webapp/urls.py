from django.urls import path
from django.views.generic import RedirectView

from apps.webapp import views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="webapp", query_string=True)),
    path("app", views.app, name="webapp"),
    path("app/", views.app),
]
