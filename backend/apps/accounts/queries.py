"""What reads accounts."""

from datetime import date
from decimal import Decimal
from typing import Any

from apps.accounts.models import Deletion, Export, User, Weight


def weight_on(*, user: User, day: date) -> Decimal | None:
    """What the person weighed on that day, in kg: the latest word up to then. One query."""
    known = Weight.objects.filter(user=user, date__lte=day).order_by("-date")
    return known.values_list("kg", flat=True).first()


def weights_between(*, user: User, first: date, last: date) -> list[Weight]:
    """The person's weights of these days, both included, in their order. One query."""
    return list(Weight.objects.filter(user=user, date__range=(first, last)).order_by("date"))


def latest_export(*, user: User) -> Export | None:
    """The person's export, made or under way, without the document itself."""
    return Export.objects.filter(user=user).defer("document").order_by("-created_at").first()


def exported_document(*, user: User) -> str | None:
    """The file, where it is there."""
    done = Export.objects.filter(user=user, status=Export.Status.DONE)
    return done.values_list("document", flat=True).first()


def is_leaving(*, user: User) -> bool:
    """Whether the person is being erased."""
    return Deletion.objects.filter(person=user.pk).exists()


def export_profile(user: User) -> dict[str, Any]:
    """All that this app keeps about the person, but for what proves who they are."""
    fields = (
        "telegram_id",
        "username",
        "first_name",
        "language",
        "time_zone",
        "sex",
        "birth_year",
        "height_cm",
        "activity",
        "goal",
        "created_at",
    )
    return {
        **{name: getattr(user, name) for name in fields},
        "weights": list(user.weights.order_by("date").values("date", "kg")),
        "logins": list(user.sessions.order_by("created_at").values("created_at", "refreshed_at")),
    }
