"""Billing in the console: looked at by staff, refunded by those who may."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from apps.billing.findings import settle_finding
from apps.billing.models import (
    Customer,
    Entry,
    Finding,
    Notification,
    Payment,
    PlanVersion,
    Refund,
    Subscription,
    Term,
)
from apps.billing.refunds import NotRefundable, request_refund
from apps.billing.settling import give_up_payment
from apps.jobs.admin import DeadLetterFilter, JobAdmin, ReadOnlyAdmin

REFUSALS = {
    "not_paid": "This payment has not been paid.",
    "not_an_amount": "This is no amount of roubles and kopecks.",
    "more_than_paid": "This is more than is left of the payment.",
    "no_reason": "Please say why.",
}


class RefundForm(forms.Form):
    amount = forms.DecimalField(min_value=Decimal("0.01"), decimal_places=2, max_digits=12)
    why = forms.CharField(max_length=500, label="Reason", widget=forms.Textarea(attrs={"rows": 3}))


@admin.register(Payment)
class PaymentAdmin(JobAdmin):
    list_display = (
        *("asked_at", "kind", "state", "amount", "refunding"),
        *("customer", "provider_id", "status", "error_code"),
    )
    list_filter = (DeadLetterFilter, "state", "kind")
    search_fields = ("id__exact", "provider_id__exact", "customer__id__exact")
    ordering = ("-asked_at",)
    actions = ("retry", "dismiss", "give_up")
    change_form_template = "admin/billing/payment/look.html"

    def get_urls(self) -> list[Any]:
        refund = path(
            "<uuid:pk>/refund/",
            self.admin_site.admin_view(self.refund),
            name="billing_payment_refund",
        )
        return [refund, *super().get_urls()]

    @admin.action(description="Give up: surely never made", permissions=["handle"])
    def give_up(self, request: HttpRequest, queryset: QuerySet[Payment]) -> None:
        by = request.user.get_username()
        done = sum(give_up_payment(payment=payment, by=by) for payment in queryset)
        messages.info(request, f"{done} of {queryset.count()} are given up")

    def refund(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Asks for amount and reason, shows them once more, and then asks for the refund."""
        if not request.user.has_perm("billing.add_refund"):
            raise PermissionDenied
        payment = get_object_or_404(Payment.objects.select_related("version"), pk=pk)
        form = RefundForm(
            request.POST or None, initial={"amount": payment.amount - payment.refunding}
        )
        confirming = request.method == "POST" and form.is_valid()
        if confirming and "confirmed" in request.POST:
            try:
                request_refund(payment_id=pk, by=request.user.get_username(), **form.cleaned_data)
            except NotRefundable as error:
                form.add_error(None, REFUSALS[error.code])
                confirming = False
            else:
                messages.success(request, f"{form.cleaned_data['amount']} ₽ are being refunded")
                return redirect(reverse("admin:billing_payment_change", args=[pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": "Refund",
            "opts": Payment._meta,
            "payment": payment,
            "left": payment.amount - payment.refunding,
            "form": form,
            "confirming": confirming,
        }
        return TemplateResponse(request, "admin/billing/payment/refund.html", context)


@admin.register(Refund)
class RefundAdmin(JobAdmin):
    list_display = ("asked_at", "payment", "amount", "state", "asked_by", "why", "status")
    list_filter = (DeadLetterFilter, "state")
    search_fields = ("id__exact", "provider_id__exact", "payment__id__exact")
    ordering = ("-asked_at",)


@admin.register(Notification)
class NotificationAdmin(JobAdmin):
    list_display = ("received_at", "event", "object_id", "times", "sender", "status")
    list_filter = (DeadLetterFilter, "event", "status")
    search_fields = ("object_id__exact",)
    ordering = ("-received_at",)


@admin.register(Finding)
class FindingAdmin(ReadOnlyAdmin):
    list_display = ("found_at", "kind", "subject", "detail", "settled_by", "settled_at")
    list_filter = ("kind", ("settled_at", admin.EmptyFieldListFilter))
    ordering = ("-found_at",)
    actions = ("settle",)

    def has_handle_permission(self, request: HttpRequest) -> bool:
        return super(ReadOnlyAdmin, self).has_change_permission(request)

    @admin.action(description="Settled: looked into, nothing left to do", permissions=["handle"])
    def settle(self, request: HttpRequest, queryset: QuerySet[Finding]) -> None:
        by = request.user.get_username()
        done = sum(settle_finding(finding=finding, by=by) for finding in queryset)
        messages.info(request, f"{done} of {queryset.count()} are settled")


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "customer", "number", "kind", "amount", "balance", "payment", "term")
    list_filter = ("kind",)
    search_fields = ("customer__id__exact", "payment__id__exact")
    ordering = ("-at", "-number")


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ("customer", "state", "version", "paid_until", "automatic_renewal", "next_at")
    list_filter = ("state", "version__plan")
    search_fields = ("customer__id__exact", "customer__user__telegram_id__exact")


@admin.register(Term)
class TermAdmin(ReadOnlyAdmin):
    list_display = ("subscription", "version", "begins", "ends", "value", "payment")
    search_fields = ("subscription__customer__id__exact", "payment__id__exact")


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "balance", "created_at")
    search_fields = ("id__exact", "user__telegram_id__exact")


@admin.register(PlanVersion)
class PlanVersionAdmin(ReadOnlyAdmin):
    list_display = ("plan", "number", "price", "months", "recognitions", "trial_days")
