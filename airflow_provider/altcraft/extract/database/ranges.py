"""Cuts the history of a database into ranges of days and of ``xxh``, each walked by its own cursor."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from airflow_provider.altcraft.client._days import Asked
from airflow_provider.altcraft.window import UTC, Window

WEEK = 7
"""Days of a range by default: each asks for three or four days more than it keeps."""

_FEW = 2
"""Days of a range by default where the zone is known: each costs an empty page, and a page that is not full."""

_SPACE = 2**64
_FIRST_SECOND = "20010101"
"""A time before all events, from the one cursor that was seen on the real platform."""


@dataclass(frozen=True, slots=True)
class Range:
    """The range of one walk: ``xxh`` from ``low`` to before ``high``, and instants.

    Each event of the pull lies in exactly one range, whatever the platform's time zone. Without ``days``, the walk asks
    for days around the window and keeps the window. With ``days``, no other range asks for them, and the walk keeps
    ``days.kept``; the window is then nominal. An event without an ``xxh`` lies in the first part of the space.
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
        """The first ``xxh``, and the first one beyond, as hexadecimal texts that sort as the numbers do."""
        return f"{self.low:016x}", f"{self.high:016x}" if self.high < _SPACE else "g"

    @property
    def first_cursor(self) -> str:
        """The composed cursor at which an ordered walk of this range begins."""
        return compose(self.low) if self.low else ""


def compose(xxh: int) -> str:
    """Return a cursor before the first event of this ``xxh``."""
    return f"{xxh:016x}.{_FIRST_SECOND}"


def cut(window: Window, ranges: int, parts: list[tuple[int, int]]) -> list[Range]:
    """Return the ranges of a pull: the window cut into days, each cut into parts of the space of ``xxh``.

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
    """Return the ranges of known days, each cut into parts of the space of ``xxh``."""
    return [
        Range(asked.nominal, _SPACE * index // of, _SPACE * (index + 1) // of, asked)
        for asked in days
        for index, of in parts
    ]


def default_ranges(window: Window, most: int, *, known: bool = False) -> int:
    """Return the default number of ranges, at most ``most``.

    Args:
        window: of the pull.
        most: walks at once.
        known: whether the zone is known: then a range asks only its own days, and short ranges cost little.
    """
    return max(1, min(most, len(window.days()) // (_FEW if known else WEEK)))


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=UTC)
