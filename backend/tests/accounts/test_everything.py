"""Whatever leads to a person is told in their export and gone after their deletion.

The tables are found by their foreign keys, and a row is made in each: an app that keeps
something new about a person fails here until it has said what becomes of it.
"""

import uuid
from datetime import UTC, date, datetime
from itertools import count
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.accounts.personal_data import registered
from apps.accounts.services import request_deletion
from apps.accounts.tasks import delete_account
from tests.accounts.test_leaving import due, exported
from tests.http import make_user

pytestmark = pytest.mark.django_db(transaction=True)

NOT_EXPORTED = {
    "accounts.User_groups": "rights of staff, which say nothing of the person",
    "accounts.User_user_permissions": "rights of staff, which say nothing of the person",
    "admin.LogEntry": "what staff did to the business's own rows, which keep it themselves",
    "accounts.Export": "the file would hold itself",
    "ai.ProviderCall": "what a model cost us, not what it said",
    "nutrition.Measure": "of the food table: own foods have none",
    "nutrition.FoodName": "of the food table: own foods have none",
}
NOT_ERASED = {
    "ai.ProviderCall": "what a model was paid, without the person",
    "billing.Customer": "a number without a name, on which the books hang",
}
"""What lies below one of these stays with it."""

FOUND_OTHERWISE = {"belongings", "bot"}
"""Parts without a foreign key to a person: their own apps' tests hold them to the same."""

# What a row takes beyond a plain value of each field's kind.
VALUES: dict[str, dict[str, Any]] = {}


def leading_to_a_person() -> dict[type[models.Model], str]:
    """Every model from which foreign keys lead to a user, with the field that begins the way."""
    found: dict[type[models.Model], str] = {}
    growing = True
    while growing:
        growing = False
        for model in apps.get_models(include_auto_created=True):
            for field in model._meta.concrete_fields:
                target = field.related_model
                leads = target is User or target in found
                if leads and model not in found and model is not target:
                    found[model] = field.name
                    growing = True
    return found


MODELS = leading_to_a_person()


def stays(model: type[models.Model]) -> bool:
    """Whether the model, or one that its way to the person leads over, is one of the kept."""
    while model in MODELS:
        if model._meta.label in NOT_ERASED:
            return True
        target = model._meta.get_field(MODELS[model]).related_model
        assert isinstance(target, type)
        model = target
    return False


def fills_itself(field: Any) -> bool:
    given = field.has_default() or field.has_db_default()
    return bool(isinstance(field, models.AutoField) or field.generated or given)


numbers = count(1)


def plain_value(field: Any) -> Any:
    """A value of the field's kind, of its own where no two may be alike."""
    if field.choices:
        return next(value for value, _ in field.flatchoices)
    kinds: dict[type[Any], Any] = {
        models.BooleanField: False,
        models.UUIDField: uuid.uuid4(),
        models.DateTimeField: datetime(2026, 1, 1, tzinfo=UTC),
        models.DateField: date(2026, 1, 1),
        models.CharField: uuid.uuid4().hex[: field.max_length],
        models.TextField: "x",
        models.JSONField: {},
        models.BinaryField: b"x",
        models.DecimalField: 1,
        models.IntegerField: next(numbers) if field.unique else 1,
    }
    return next(value for kind, value in kinds.items() if isinstance(field, kind))


def make_row(model: type[models.Model], made: dict[type[models.Model], Any]) -> Any:
    """A row of the model, and of what it refers to, that belongs to the user in `made`."""
    if model in made:
        return made[model]
    values = {}
    for field in model._meta.concrete_fields:
        target = field.related_model
        if isinstance(target, type) and target is not model:
            if target is User or target in MODELS or not field.null:
                values[field.name] = make_row(target, made)
        elif not (fills_itself(field) or field.null):
            values[field.name] = plain_value(field)
    values |= VALUES.get(model._meta.label, {})
    made[model] = model._base_manager.create(**values)
    return made[model]


def everything_of(user: User) -> dict[type[models.Model], Any]:
    made: dict[type[models.Model], Any] = {User: user}
    for model in MODELS:
        make_row(model, made)
    return {model: made[model] for model in MODELS}


def names(found: Any) -> set[str]:
    return {model._meta.label for model in found}


def test_the_walk_finds_what_is_known_to_be_there() -> None:
    known = {"accounts.Weight", "accounts.Session", "nutrition.MealItem", "ai.RecognizedItem"}
    assert known <= names(MODELS)
    assert not {"nutrition.FoodTable", "accounts.Deletion", "jobs.Probe"} & names(MODELS)
    every = {model._meta.label for model in apps.get_models(include_auto_created=True)}
    assert NOT_EXPORTED.keys() <= every


def test_an_export_looks_into_every_table_that_leads_to_a_person() -> None:
    user = make_user()
    everything_of(user)
    with CaptureQueriesContext(connection) as queries:
        parts = {part.name: part.export(user) for part in registered()}
    asked = " ".join(query["sql"] for query in queries)
    silent = {model for model in MODELS if f'FROM "{model._meta.db_table}"' not in asked}
    assert names(silent) - NOT_EXPORTED.keys() == set()
    assert {name for name, told in parts.items() if not told} == FOUND_OTHERWISE
    assert exported(user).status == "done", "and all of it is JSON"


def test_a_deletion_leaves_nothing_of_a_person_and_everything_of_others() -> None:
    user, stranger = make_user(), make_user()
    mine, theirs = everything_of(user), everything_of(stranger)
    deletion = request_deletion(user=user)
    due()
    delete_account(str(deletion.pk))
    deletion.refresh_from_db()
    assert (deletion.status, deletion.last_error) == ("done", "")
    left = {model for model, row in mine.items() if model._base_manager.filter(pk=row.pk).exists()}
    assert names(left) == names(model for model in MODELS if stays(model))
    for model, row in theirs.items():
        assert model._base_manager.filter(pk=row.pk).exists(), model._meta.label
    assert list(User.objects.all()) == [stranger]
