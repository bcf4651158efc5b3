"""Dead letters in the console: seen, retried, dismissed, with who did it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from apps.jobs.models import Job, Period
from apps.jobs.services import dismiss_dead_letter, retry_dead_letter

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class ReadOnlyAdmin(ModelAdmin):
    """To be looked at. What changes things is an action, by a service."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class DeadLetterFilter(admin.SimpleListFilter):
    title = "dead letters"
    parameter_name = "dead"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "not handled yet")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "1":
            return queryset.filter(status=Job.Status.FAILED, handled_at=None)
        return queryset


class JobAdmin(ReadOnlyAdmin):
    """A kind of job. Who may change it may retry and dismiss its dead letters."""

    actions: Sequence[str] = ("retry", "dismiss")

    def has_handle_permission(self, request: HttpRequest) -> bool:
        return super(ReadOnlyAdmin, self).has_change_permission(request)

    @admin.action(description="Retry dead letters", permissions=["handle"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        by = request.user.get_username()
        done = sum(retry_dead_letter(job=job, by=by) for job in queryset)
        messages.info(request, f"{done} of {queryset.count()} are tried again")

    @admin.action(description="Dismiss dead letters", permissions=["handle"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        by = request.user.get_username()
        done = sum(dismiss_dead_letter(job=job, by=by) for job in queryset)
        messages.info(request, f"{done} of {queryset.count()} are dismissed")


@admin.register(Period)
class PeriodAdmin(JobAdmin):
    list_display = ("name", "begins", "status", "error_code", "handled_by")
    list_filter = (DeadLetterFilter, "status", "name")
