"""What the bot says, in the language of the moment."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext as _

from apps.accounts.models import User
from apps.ai.models import Recognition
from apps.ai.problems import REMARKS, TROUBLES, UNKNOWN
from apps.messaging.services import ActionButton, AnyButton, AppButton
from apps.nutrition.models import NUTRIENTS
from apps.nutrition.queries import Day, sum_nutrients

ACCEPT, REJECT = "accept", "reject"


def greeting(user: User) -> str:
    hello = _("Hello, {name}!").format(name=user.first_name) if user.first_name else _("Hello!")
    return f"{hello} {how_to_use()}"


def how_to_use() -> str:
    return _(
        "Send me a photo of your meal, or say in words what you ate, and I will count it. "
        "/today shows your day."
    )


def app_button() -> list[AnyButton]:
    """The page, where Telegram would open it: it takes nothing but HTTPS."""
    if not settings.PUBLIC_URL.startswith("https://"):
        return []
    return [AppButton(_("Open EatFit24"), f"{settings.PUBLIC_URL}/app")]


def refusal(code: str) -> str:
    """Why there is no answer, and what can be done about it."""
    trouble = TROUBLES.get(code, UNKNOWN)
    return f"{trouble.title}. {trouble.detail}"


def found(recognition: Recognition) -> tuple[str, list[AnyButton]]:
    """What came of a recognition that has ended, and what can be done with it."""
    if recognition.status == Recognition.Status.FAILED:
        return refusal(recognition.error_code), []
    items = list(recognition.items.all())
    remark = REMARKS[recognition.outcome or "recognized"].text
    if not items:
        return str(remark or REMARKS["nothing_to_count"].text), []
    lines = [
        _("• {name}, {grams} g: {kcal} kcal").format(
            name=item.name, grams=_whole(item.grams), kcal=_whole(item.energy_kcal)
        )
        for item in items
    ]
    parts = ["\n".join(lines), _sum(sum_nutrients(items))]
    if remark:
        parts.append(str(remark))
    buttons: list[AnyButton] = [
        ActionButton(_("Add to the diary"), f"{ACCEPT}:{recognition.pk}"),
        ActionButton(_("Not this"), f"{REJECT}:{recognition.pk}"),
    ]
    return "\n\n".join(parts), buttons


def day(user: User, shown: Day) -> str:
    """The day's meals and what they come to, against the targets where there are any."""
    if not shown.meals:
        lines = [_("Nothing has been counted today.")]
    else:
        zone = ZoneInfo(user.time_zone)
        lines = [
            _("{time} {names}: {kcal} kcal").format(
                time=f"{meal.eaten_at.astimezone(zone):%H:%M}",
                names=", ".join(item.name for item in meal.items.all()),
                kcal=_whole(sum_nutrients(meal.items.all())["energy_kcal"]),
            )
            for meal in shown.meals
        ]
    parts = ["\n".join(lines), _("Today: {sum}").format(sum=_sum(shown.totals))]
    if shown.targets is not None:
        targets = {name: getattr(shown.targets, name) for name in NUTRIENTS}
        parts.append(_("Your targets: {sum}").format(sum=_sum(targets)))
    return "\n\n".join(parts)


def _sum(nutrients: Mapping[str, Decimal]) -> str:
    amounts: dict[str, Any] = {name: _whole(amount) for name, amount in nutrients.items()}
    return _(
        "{energy_kcal} kcal, protein {protein_g} g, fat {fat_g} g, carbohydrates {carbohydrate_g} g"
    ).format(**amounts)


def _whole(amount: Decimal) -> int:
    return int(amount.to_integral_value())
