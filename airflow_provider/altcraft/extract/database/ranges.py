"""How a whole database is cut: into ranges of days and ranges of ``xxh``, each walked by a cursor of its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from airflow_provider.altcraft.client._days import Asked
from airflow_provider.altcraft.window import UTC, Window

WEEK = 7
"""Days of a range where nobody says how many ranges there are: each asks for three or four days more than it keeps."""

_FEW = 2
"""Likewise where the days are known: each asks for an empty page, and for a page that is not full."""

_SPACE = 2**64
_FIRST_SECOND = "20010101"
"""The time of the one first cursor that was seen on the real platform: before all events."""


@dataclass(frozen=True, slots=True)
class Range:
    """What one walk asks for and keeps: ``xxh`` from ``low`` to before ``high``, and instants.

    Each event of the pull lies in exactly one range, whatever days the platform means. Without ``days`` more is asked
    than is kept, which is the window. With them, what is asked is asked by no other range; then ``days.kept`` is kept,
    and the window is what the days should be. An event without an ``xxh`` lies in the first part of the space.
    """

    window: Window
    low: int = 0
    high: int = _SPACE
    days: Asked | None = None

    @property
    def asked(self) -> Asked:
        """The days to ask for."""
        return self.days or Asked.widely(self.window)

    @property
    def whole(self) -> bool:
        """Whether any ``xxh`` is kept."""
        return (self.low, self.high) == (0, _SPACE)

    @property
    def bounds(self) -> tuple[str, str]:
        """The first ``xxh``, and the first one beyond, as 16 or 17 hexadecimal digits, which order as numbers do."""
        return f"{self.low:016x}", f"{self.high:016x}" if self.high < _SPACE else "g"

    @property
    def first_cursor(self) -> str:
        """Where a walk of this part of the space begins on a platform that takes composed cursors."""
        return compose(self.low) if self.low else ""


def compose(xxh: int) -> str:
    """A cursor that stands before the first event of this ``xxh``."""
    return f"{xxh:016x}.{_FIRST_SECOND}"


def cut(window: Window, ranges: int, parts: list[tuple[int, int]]) -> list[Range]:
    """The ranges of a pull, days by days, each by parts of the space of ``xxh``.

    Args:
        window: both ends are given.
        ranges: how many ranges of days, at most one a day.
        parts: pairs of a part's number, from 0, and how many parts there are.
    """
    days = window.days()
    if not days:
        return []
    count = min(ranges, len(days))
    inner = [_midnight(days[len(days) * index // count]) for index in range(1, count)]
    ends = [window.start, *inner, window.end]
    return [
        Range(Window(start, end), _SPACE * index // of, _SPACE * (index + 1) // of)
        for start, end in pairwise(ends)
        for index, of in parts
    ]


def of_days(days: Iterable[Asked], parts: list[tuple[int, int]]) -> list[Range]:
    """As ``cut``, of days that are known."""
    return [
        Range(asked.nominal, _SPACE * index // of, _SPACE * (index + 1) // of, asked)
        for asked in days
        for index, of in parts
    ]


def default_ranges(window: Window, most: int, *, known: bool = False) -> int:
    """How many ranges, ``most`` at most, where nobody says.

    Args:
        window: of the pull.
        most: walks at once.
        known: the days are known: then a range asks only its own, and a range for each two of them costs little.
    """
    return max(1, min(most, len(window.days()) // (_FEW if known else WEEK)))


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=UTC)
