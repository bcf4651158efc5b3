"""Money as it is stored."""

import uuid
from typing import Any

from django.db import models


def roubles(**options: Any) -> "models.DecimalField[Any, Any]":
    """An amount with kopecks."""
    return models.DecimalField(max_digits=12, decimal_places=2, **options)


def new_key() -> str:
    """An idempotence key."""
    return str(uuid.uuid4())
