"""The known name that a misspelt one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like this one; ``None`` where none is much like it."""
    from difflib import get_close_matches  # what is spelt right, as nearly always, does not pay for it

    found = get_close_matches(name.strip().casefold().replace("-", "_"), known, n=1)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question that a message about an unknown name ends with; an empty text where no name is like it."""
    found = nearest(name, known)
    return f"; did you mean {found!r}?" if found else ""
