"""Cutting a text to what one message holds, where it hurts least."""

import re
import unicodedata
from collections.abc import Iterator

LIMIT = 4096
"""UTF-16 code units. Telegram says characters, and counts some of them as two."""

# From the best place to cut at to the worst that is still between two words.
_BOUNDARIES = (r"\n\s*\n", r"\n", r"(?<=[.!?…])\s", r"\s")
_JOINERS = "\u200d\ufe0f"


def split_text(text: str, limit: int = LIMIT) -> list[str]:
    """The text in parts of at most `limit` UTF-16 code units, none of them blank.

    Only white space where it was cut, or at the ends, is lost, and what no message can hold.
    """
    rest = text.encode("utf-8", "ignore").decode().replace("\0", "").strip()
    parts = []
    while rest:
        fits = _fitting(rest, limit)
        cut = len(rest) if fits == len(rest) else _cut(rest, fits)
        parts.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return parts


def _fitting(text: str, limit: int) -> int:
    """How many characters from the beginning fit."""
    units = 0
    for position, character in enumerate(text):
        units += 2 if character > "\uffff" else 1
        if units > limit:
            return position
    return len(text)


def _cut(text: str, fits: int) -> int:
    """Where to cut: at the last good boundary in the second half of what fits, or anywhere."""
    for boundary in _BOUNDARIES:
        ends = [found.end() for found in re.finditer(boundary, text[: fits + 1])]
        good = [end for end in ends if fits // 2 <= end <= fits + 1]
        if good:
            return good[-1]
    return next((position for position in _apart(text, fits)), fits)


def _apart(text: str, fits: int) -> Iterator[int]:
    """Places, from the last on, where no character of the next part clings to the one before."""
    for position in range(fits, max(fits - 32, 0), -1):
        clings = unicodedata.combining(text[position]) or text[position] in _JOINERS
        if not clings and text[position - 1] != "\u200d":
            yield position
