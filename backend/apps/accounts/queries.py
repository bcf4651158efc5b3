"""What reads accounts."""

from datetime import date
from decimal import Decimal

from apps.accounts.models import User, Weight


def weight_on(*, user: User, day: date) -> Decimal | None:
    """What the person weighed on that day, in kg: the latest word up to then. One query."""
    known = Weight.objects.filter(user=user, date__lte=day).order_by("-date")
    return known.values_list("kg", flat=True).first()


def weights_between(*, user: User, first: date, last: date) -> list[Weight]:
    """The person's weights of these days, both included, in their order. One query."""
    return list(Weight.objects.filter(user=user, date__range=(first, last)).order_by("date"))
