"""Compose's files as YAML, its own tags included."""

from pathlib import Path
from typing import Any

import yaml


class ComposeLoader(yaml.SafeLoader):
    """Knows `!override`, which replaces a list instead of adding to it."""


ComposeLoader.add_constructor(
    "!override",
    lambda loader, node: loader.construct_sequence(node),  # type: ignore[arg-type]
)


def load_compose(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(path.read_text(), Loader=ComposeLoader)
    return loaded
