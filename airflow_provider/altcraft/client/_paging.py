"""Walks the pages of a list call: finds the next cursor, the end, and rows that came twice. Does no I/O."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import takewhile
from typing import Generic, TypeVar

from airflow_provider.altcraft.client._errors import AltcraftError, BadRequestError, CursorError
from airflow_provider.altcraft.client._models import Page

log = logging.getLogger(__name__)

T = TypeVar("T")


class Walk:
    """The state of one walk.

    The walk ends at an empty page, and at a cursor that is missing or was asked for before: then with a warning where
    rows may be missing.

    It is not documented whether a cursor is inclusive. So rows that both end one page and begin the next are held back:
    either they came twice, or they are different events with equal fields. An inclusive cursor always gives its last
    row again. So a border without such rows, or an empty page after one with rows, proves that the cursor is exclusive,
    and the rows held back are different events.

    Attributes:
        cursor: of the next page.
        done: whether the walk has ended.
        ended: the reason of its end, in words.
        suspect: whether rows may be missing.
        pages: pages taken.
        exclusive: whether a border has proved the cursor exclusive.

    Args:
        method: name of the call, for the log.
        first: cursor of the first page.
        limit: rows that were asked for a page.
    """

    def __init__(self, method: str, first: int | str, limit: int) -> None:
        self.cursor: int | str = first
        self.done = False
        self.ended = ""
        self.suspect = False
        self.pages = 0
        self.exclusive = False
        self._method = method
        self._limit = limit
        self._asked = {first}

    def goes_on(self, rows: int, cursor: int | str | None) -> bool:
        """Return whether another page follows one with so many rows and this cursor."""
        return bool(rows) and cursor is not None and cursor not in self._asked

    def refused(self, error: BadRequestError) -> AltcraftError:
        """Return the error of a refused page: a ``CursorError`` where the platform gave the cursor."""
        return cursor_error(error) if self.pages and error.code is not None else error

    def step(self, rows: int, again: int, cursor: int | str | None) -> bool:
        """Take a page into account.

        Args:
            rows: of the page.
            again: how many of them, at its start, also ended the last page.
            cursor: of the next page.

        Returns:
            Whether the rows held back so far are different events.
        """
        proved = bool(self.pages and not again)
        self.exclusive |= proved
        self.pages += 1
        if cursor is not None and self.goes_on(rows, cursor):
            self.cursor = cursor
            self._asked.add(cursor)
            return proved
        self.done = True
        # With an inclusive cursor the last page has only rows that came before. Where they fill the page, more rows of
        # the same profile and second may follow that no page of this size can show.
        self.suspect = rows > again or rows >= self._limit
        self.ended = "only rows that had come before" if rows else "an empty page"
        if self.suspect:
            self.ended = what = "no cursor" if cursor is None else "a cursor that was asked for before"
            log.warning("%s gave %s with a page of rows: the walk ends there, rows may be missing", self._method, what)
        return proved


def cursor_error(error: BadRequestError) -> CursorError:
    """Return the error of a cursor that the platform gave and refuses."""
    return CursorError(
        f"the platform refuses a cursor that it gave in this walk: {error.args[0]}",
        code=error.code,
        text=error.text,
        http_status=error.http_status,
        method=error.method,
    )


class PageWalk(Walk, Generic[T]):
    """A walk that keeps the rows of its last page, and those held back."""

    def __init__(self, method: str, first: int | str, limit: int) -> None:
        super().__init__(method, first, limit)
        self._last: list[T] = []
        self._held: list[T] = []

    def take(self, page: Page[T]) -> list[T]:
        """Take a page, and return the new rows of it and of those held back."""
        again = 0 if self.exclusive else overlap(self._last, page.rows)
        new = page.rows[again:]
        self._held += page.rows[:again]
        if self.step(len(page.rows), again, page.next_from_id):
            new, self._held = self._held + new, []
        self._last = page.rows
        return new


def overlap(last: list[T], rows: list[T]) -> int:
    """Return how many rows at the start repeat the end of the last page, in any order."""
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
