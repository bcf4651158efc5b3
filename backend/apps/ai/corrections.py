"""What users say it really was, and so how good a model is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Avg, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Abs, Coalesce, NullIf

from apps.ai.models import CorrectedItem, ProviderCall, Recognition, RecognizedItem
from apps.ai.problems import Refused
from apps.nutrition.services.diary import MOST, scale_nutrients


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One line as its eater has it. `values` are some of ITEM_FIELDS, all without `item_id`.

    What they leave out is as the model said of that item, in proportion to the grams.
    """

    item_id: int | None
    values: Mapping[str, Any]


def correct_recognition(
    *, recognition: Recognition, corrections: Sequence[Correction]
) -> Recognition:
    """Say what it really was; the last word counts. What the model said is kept beside it.

    Raises Refused where it is not done, or a meal already, where an item is not its own, or has
    more than a diary takes.
    """
    with transaction.atomic():
        locked = Recognition.objects.select_for_update(of=("self",)).get(pk=recognition.pk)
        if locked.status != Recognition.Status.DONE:
            raise Refused("recognition_not_done")
        if locked.meal_id is not None:
            raise Refused("recognition_accepted")
        said = {item.pk: item for item in locked.items.all()}
        if not {one.item_id for one in corrections} <= {None, *said}:
            raise Refused("no_such_item")
        locked.corrections.all().delete()
        CorrectedItem.objects.bulk_create(
            CorrectedItem(
                recognition=locked,
                position=position,
                item_id=one.item_id,
                **_corrected(said[one.item_id], one.values) if one.item_id else one.values,
            )
            for position, one in enumerate(corrections)
        )
    return locked


def _corrected(item: RecognizedItem, values: Mapping[str, Any]) -> dict[str, Any]:
    grams = values.get("grams", item.grams)
    scaled = scale_nutrients(item, grams / item.grams)
    if max(scaled.values()) > MOST:
        raise Refused("too_much")
    return {"name": item.name, "grams": grams, **scaled, **values}


def report_quality(recognitions: QuerySet[Recognition]) -> Sequence[Mapping[str, Any]]:
    """How far off each model was; one query.

    One row a provider and model: `delivered`, `accepted` (what users made a meal of, and so what
    is compared), `corrected` of those, and the mean error of a meal's weight and energy as
    shares of what the user says, or None.
    """
    asked = recognitions.filter(status=Recognition.Status.DONE, charged=True)
    accepted = Q(meal__isnull=False)
    return list(
        asked.annotate(
            was_corrected=Exists(CorrectedItem.objects.filter(recognition=OuterRef("pk"))),
            grams_off=_share_off("grams"),
            kcal_off=_share_off("energy_kcal"),
        )
        .values("provider", "model")
        .annotate(
            delivered=Count("pk"),
            accepted=Count("pk", filter=accepted),
            corrected=Count("pk", filter=accepted & Q(was_corrected=True)),
            grams_error=Avg("grams_off", filter=accepted),
            kcal_error=Avg("kcal_off", filter=accepted),
        )
        .order_by("provider", "model")
    )


def _share_off(field: str) -> Any:
    """How far what the model said of a whole meal is from what its eater did."""

    def total(lines: QuerySet[Any]) -> Subquery:
        of_one = lines.filter(recognition=OuterRef("pk")).order_by().values("recognition")
        return Subquery(of_one.annotate(sum=Sum(field)).values("sum"))

    said = Coalesce(total(RecognizedItem.objects.all()), Value(Decimal(0)))
    true = Coalesce(total(CorrectedItem.objects.all()), said)
    return Abs(said - true) / NullIf(true, Value(Decimal(0)))


def report_costs(calls: QuerySet[ProviderCall]) -> Sequence[Mapping[str, Any]]:
    """One row a model: `calls`, how many `failed`, what they cost and took; one query."""
    return list(
        calls.values("model")
        .annotate(
            calls=Count("pk"),
            failed=Count("pk", filter=~Q(outcome="answered")),
            cost_usd=Coalesce(Sum("cost_usd"), Value(Decimal(0))),
            milliseconds=Avg(F("milliseconds")),
        )
        .order_by("model")
    )
