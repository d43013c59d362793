"""Walks the pages of a list call: what to ask next, where the end is, which rows came twice. Does no I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from airflow_provider.altcraft.client._models import Page

log = logging.getLogger(__name__)


class PageWalk:
    """The state of one walk.

    The end is an empty page. A cursor that is missing or does not move ends the walk as well, with a warning. Whether
    a cursor is inclusive is not documented, so rows that stand at the end of one page and again at the start of the
    next count once: unless some border shows that this platform's cursor is exclusive, and they were two events alike.

    Args:
        method: name of the call, for the log.
        first: cursor of the first page.
        same_place: what two rows share when a cursor cannot tell them apart.
    """

    def __init__(self, method: str, first: int | str, same_place: Callable[[Any], Any]) -> None:
        self.cursor: int | str = first
        self.done = False
        self._method = method
        self._same_place = same_place
        self._border: list[Any] = []
        self._exclusive = False
        self._held: list[Any] = []

    def take(self, page: Page) -> list[Any]:
        """The rows of this page that are new; sets ``cursor`` and ``done``."""
        if not page.rows:
            self.done = True
            return []
        repeated = self._repeated(page.rows)
        new = page.rows[repeated:]
        if self._border and not repeated and not self._exclusive:
            # No row came again, so the cursor is exclusive, and what was held back as repeated is events of its own.
            self._exclusive = True
            new, self._held = self._held + new, []
        elif repeated:
            self._held += page.rows[:repeated]
        self._border = self._tail(page.rows, repeated)
        if page.next_from_id is None or page.next_from_id == self.cursor:
            what = "gave no cursor" if page.next_from_id is None else "gave the same cursor again"
            # An inclusive cursor ends by repeating its last row under the same cursor: nothing to warn of.
            if new:
                log.warning("%s %s after a page with rows: the walk ends there", self._method, what)
            self.done = True
        else:
            self.cursor = page.next_from_id
        return new

    def _repeated(self, rows: list[Any]) -> int:
        """How many rows at the start of this page are the border of the last one."""
        if self._exclusive or not self._border:
            return 0
        size = len(self._border)
        return size if _multiset(rows[:size]) == _multiset(self._border) else self._single(rows)

    def _single(self, rows: list[Any]) -> int:
        # A cursor may also name the last row itself rather than all rows at its place.
        return 1 if rows[0] == self._border[-1] else 0

    def _tail(self, rows: list[Any], repeated: int) -> list[Any]:
        """The rows at the end of the page that share the last one's place, those carried over from the border too."""
        place = self._same_place(rows[-1])
        first = len(rows)
        while first > 0 and self._same_place(rows[first - 1]) == place:
            first -= 1
        return rows[first:]


def _multiset(rows: list[Any]) -> list[str]:
    return sorted(map(repr, rows))
