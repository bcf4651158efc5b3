"""Dead letters, for operators: list, retry, dismiss."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count, DurationField, ExpressionWrapper, Min
from django.db.models.functions import Greatest, Now

from apps.jobs.models import Job, job_models
from apps.jobs.services import CLAIMABLE, dismiss_dead_letter, retry_dead_letter


class Command(BaseCommand):
    help = "Count jobs by status; list, retry or dismiss failed ones."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("count", help="how many jobs of each kind there are, by status")
        actions.add_parser("watch", help="for machines: what waits longest, and what has failed")
        listing = actions.add_parser("list", help="failed jobs that nobody has handled")
        listing.add_argument("--most", type=int, default=50)
        for name in ("retry", "dismiss"):
            action = actions.add_parser(name, help=f"{name} failed jobs")
            action.add_argument("ids", nargs="+", type=UUID, metavar="ID")
            action.add_argument("--by", required=True, help="who does it")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if action == "count":
            self._count()
        elif action == "watch":
            self._watch()
        elif action == "list":
            self._list(options["most"])
        else:
            change = retry_dead_letter if action == "retry" else dismiss_dead_letter
            for pk in options["ids"]:
                if not change(job=_find(pk), by=options["by"]):
                    raise CommandError(f"{pk} is not a failed job that could be handled")
                self.stdout.write(f"{pk}: {action}, by {options['by']}")

    def _count(self) -> None:
        for model in job_models():
            counts = model._default_manager.values("status").annotate(n=Count("pk")).order_by()
            text = ", ".join(f"{row['n']} {row['status']}" for row in counts) or "none"
            self.stdout.write(f"{model._meta.label}: {text}")

    def _watch(self) -> None:
        """`waiting SECONDS KIND`, of jobs that are due, and `failed COUNT all`."""
        failed = 0
        for model in job_models():
            due = model._default_manager.filter(CLAIMABLE)
            longest = Now() - Min(Greatest("run_after", "lease_until"))
            waited = due.aggregate(longest=ExpressionWrapper(longest, DurationField()))["longest"]
            seconds = (waited or timedelta()).total_seconds()
            self.stdout.write(f"waiting {seconds:.0f} {model._meta.label}")
            failed += model._default_manager.filter(
                status=Job.Status.FAILED, handled_at=None
            ).count()
        self.stdout.write(f"failed {failed} all")

    def _list(self, most: int) -> None:
        for model in job_models():
            dead = model._default_manager.filter(status=Job.Status.FAILED, handled_at=None)
            for job in dead.order_by("finished_at")[:most]:
                self.stdout.write(
                    f"{job.pk}  {model._meta.label}  {job.finished_at:%Y-%m-%d %H:%M}Z  "
                    f"{job.error_code}: {job.last_error}"
                )


def _find(pk: UUID) -> Job:
    for model in job_models():
        job = model._default_manager.filter(pk=pk).first()
        if job is not None:
            return job
    raise CommandError(f"there is no job {pk}")
