"""Billing, for operators: findings, unknown charges, reconciliation by hand."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.billing.findings import settle_finding
from apps.billing.gateway import GatewayError, open_gateway
from apps.billing.models import Finding, Payment, Refund
from apps.billing.reconciliation import reconcile
from apps.billing.refunds import give_up_refund, record_refund
from apps.billing.settling import give_up_payment
from apps.jobs.errors import NotYet, Temporary


class Command(BaseCommand):
    help = "List and settle findings; give up a payment; reconcile now. See docs/BILLING.md."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("findings", help="what does not add up and nobody has settled")
        settle = actions.add_parser("settle", help="note that a finding was looked into")
        settle.add_argument("id", type=int, metavar="FINDING")
        settle.add_argument("--by", required=True, help="who did")
        give_up = actions.add_parser(
            "give-up", help="say that a payment or refund which is a dead letter never was"
        )
        give_up.add_argument("id", type=UUID, metavar="ID")
        give_up.add_argument("--by", required=True, help="who says so")
        learn = actions.add_parser("learn-refund", help="book a refund made in the cabinet")
        learn.add_argument("id", metavar="PROVIDERS_ID")
        run = actions.add_parser("reconcile", help="compare with the provider now")
        run.add_argument("--days", type=int, default=8, help="how far back")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        getattr(self, f"_{action.replace('-', '_')}")(options)

    def _findings(self, options: Any) -> None:
        for finding in Finding.objects.filter(settled_at=None).order_by("found_at"):
            self.stdout.write(
                f"{finding.pk}  {finding.found_at:%Y-%m-%d %H:%M}Z  {finding.kind} "
                f"{finding.subject}: {finding.detail}"
            )

    def _settle(self, options: Any) -> None:
        finding = Finding.objects.filter(pk=options["id"]).first()
        if finding is None or not settle_finding(finding=finding, by=options["by"]):
            raise CommandError(f"{options['id']} is no open finding")
        self.stdout.write(f"{finding}: settled by {options['by']}")

    def _give_up(self, options: Any) -> None:
        pk, by = options["id"], options["by"]
        payment = Payment.objects.filter(pk=pk).first()
        refund = Refund.objects.filter(pk=pk).first()
        if not (
            (payment and give_up_payment(payment=payment, by=by))
            or (refund and give_up_refund(refund=refund, by=by))
        ):
            raise CommandError(f"{pk} is no dead letter of unknown outcome")
        self.stdout.write(f"{payment or refund}: given up by {by}")

    def _learn_refund(self, options: Any) -> None:
        try:
            refund = record_refund(found=open_gateway().get_refund(options["id"]))
        except (GatewayError, NotYet) as error:
            raise CommandError(f"the provider has no answer yet: {error}") from None
        if refund is None:
            raise CommandError(f"{options['id']} is no refund of a payment of ours")
        self.stdout.write(f"{refund.pk}: {refund.amount} ₽, {refund.state}")

    def _reconcile(self, options: Any) -> None:
        try:
            report = reconcile(looks_back=timedelta(days=options["days"]))
        except Temporary as error:
            raise CommandError(f"the provider cannot be asked: {error}") from None
        self.stdout.write(f"{report.listed} payments compared, {report.mended} mended")
        self._findings(options)
