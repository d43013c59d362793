"""Walks the pages of a list call: what to ask next, where the end is, which rows came twice. Does no I/O."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import takewhile
from typing import Generic, TypeVar

from airflow_provider.altcraft.client._models import Page

log = logging.getLogger(__name__)

T = TypeVar("T")


class PageWalk(Generic[T]):
    """The state of one walk.

    The end is an empty page. A cursor that is missing, or was asked for before, ends the walk as well, with a warning
    where rows may be missing.

    Whether a cursor is inclusive is not documented, so rows that end one page and begin the next are held back: they
    came twice, or are real events alike. A border without such rows, or an empty page after one with rows, proves that
    the cursor is exclusive, for an inclusive one always gives its last row again; then what was held back is events of
    its own.

    Args:
        method: name of the call, for the log.
        first: cursor of the first page.
        limit: rows that were asked for a page.
    """

    def __init__(self, method: str, first: int | str, limit: int) -> None:
        self.cursor: int | str = first
        self.done = False
        self._method = method
        self._limit = limit
        self._asked = {first}
        self._last: list[T] = []
        self._held: list[T] = []
        self._exclusive = False

    def take(self, page: Page[T]) -> list[T]:
        """The rows that are new, of this page and of those held back; sets ``cursor`` and ``done``."""
        again = 0 if self._exclusive else _overlap(self._last, page.rows)
        new = page.rows[again:]
        self._held += page.rows[:again]
        if self._last and not again:
            self._exclusive = True
            new, self._held = self._held + new, []
        self._last = page.rows
        self._move_on(page, fresh=len(page.rows) - again)
        return new

    def _move_on(self, page: Page[T], *, fresh: int) -> None:
        if page.rows and page.next_from_id is not None and page.next_from_id not in self._asked:
            self.cursor = page.next_from_id
            self._asked.add(self.cursor)
            return
        self.done = True
        # An inclusive cursor ends by giving nothing but its last rows again. Where they fill a page, rows of the same
        # place may be left that no page of this size can show.
        if fresh or len(page.rows) >= self._limit:
            what = "no cursor" if page.next_from_id is None else "a cursor that was asked for before"
            log.warning("%s gave %s with a page of rows: the walk ends there, rows may be missing", self._method, what)


def _overlap(last: list[T], rows: list[T]) -> int:
    """How many rows at the start are the end of the last page again, in whatever order."""
    longest, balance = 0, Counter[str]()
    again = takewhile(lambda row: row in last, rows)
    for size, (before, row) in enumerate(zip(reversed(last), again, strict=False), 1):
        for key, step in ((repr(before), 1), (repr(row), -1)):
            balance[key] += step
            if not balance[key]:
                del balance[key]
        if not balance:
            longest = size
    return longest
