from django.urls import path

from apps.operations import views

urlpatterns = [
    path("health/", views.health),
    path("health/live/", views.live),
]
