"""Numbers with their nouns, as logs and results give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_MOST_PLACES: Final = 4
"""Objects that are named one by one."""


def counted(number: int, noun: str) -> str:
    """Return ``1 profile`` or ``2,000 profiles``."""
    return f"{number:,} {plural_of(number, noun)}"


def plural_of(number: int, noun: str) -> str:
    """Return the noun as it stands behind that number."""
    return noun if number == 1 else f"{noun}s"


def places(uris: Sequence[str]) -> str:
    """Return where something was written: a folder of parts as the folder, the first and the last of many objects."""
    named = [uri.removesuffix("_manifest.json") for uri in uris]
    if len(named) > _MOST_PLACES:
        return f"{len(named):,} objects, {named[0]} to {named[-1]}"
    return ", ".join(named)


def duration(seconds: float) -> str:
    """Return ``90 s``, ``15 min``, ``24 h`` or ``3 days``, in the largest unit that leaves no rest."""
    for unit, size in (("day", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size and seconds % size == 0:
            count = int(seconds // size)
            return counted(count, unit) if unit == "day" else f"{count:,} {unit}"
    return f"{seconds:,g} s"
