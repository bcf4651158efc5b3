"""What changes targets: a body, or the user's own word. The past keeps what it had."""

from datetime import date
from decimal import Decimal

from django.db import transaction

from apps.accounts.models import User
from apps.accounts.services import today_of
from apps.nutrition.formulas import compute_targets
from apps.nutrition.models import NUTRIENTS, Targets
from apps.nutrition.queries import read_body


def follow_body(user: User, since: date) -> None:
    """A body or a weight is another: computed targets change from today on.

    Those set by hand stay. `since` may lie in the past, which keeps its own all the same.
    """
    newest = Targets.objects.filter(user=user).order_by("-from_date").first()
    if newest is None or not newest.by_hand:
        _write_computed(user)


def set_targets(*, user: User, **nutrients: Decimal) -> Targets:
    """Targets by hand, from today on until they are computed again."""
    with transaction.atomic():
        return _write(_lock(user), nutrients, by_hand=True)


def compute_targets_again(*, user: User) -> Targets:
    """Give up those set by hand, from today on."""
    with transaction.atomic():
        return _write_computed(_lock(user))


def _lock(user: User) -> User:
    """As a change of the profile does: one of the two sees what the other wrote."""
    return User.objects.select_for_update().get(pk=user.pk)


def _write_computed(user: User) -> Targets:
    body, _missing = read_body(user)
    nutrients = compute_targets(body) if body else dict.fromkeys(NUTRIENTS)
    return _write(user, nutrients, by_hand=False)


def _write(
    user: User, nutrients: dict[str, Decimal] | dict[str, None], *, by_hand: bool
) -> Targets:
    today = today_of(user)
    # Written in a zone further east, where it was tomorrow already: superseded.
    Targets.objects.filter(user=user, from_date__gt=today).delete()
    targets, _ = Targets.objects.update_or_create(
        user=user, from_date=today, defaults={**nutrients, "by_hand": by_hand}
    )
    return targets
