"""Days of rows and windows, for tables whose days are replaced."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as _pc  # noqa: TID253 - the same

from airflow_provider.altcraft.window import DAY, Window, day_of

pc: Any = _pc

_MOST = 50
"""Ranges in one predicate; more are read and written as one."""


def by_day(
    batch: pa.RecordBatch, timezone: str, days: Any = None, first: int = 0
) -> Iterator[tuple[dt.date, pa.RecordBatch, pa.Array[Any]]]:
    """Yield the days of a batch with their rows, in their order, and the numbers of these.

    Args:
        batch: rows.
        timezone: of the days.
        days: the day of each row, where they are known.
        first: the number of the batch's first row.
    """
    if days is None:
        local = batch.column("datetime").cast(pa.timestamp("us", tz=timezone))
        days = pc.local_timestamp(local).cast(pa.date32())
    order = pc.sort_indices(days)  # stable
    runs = pc.run_end_encode(days.take(order))
    sorted_rows, numbers, at = batch.take(order), pc.add(order.cast(pa.int64()), first), 0
    for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield day, sorted_rows.slice(at, end - at), numbers.slice(at, end - at)
        at = end


def days_touched(window: Window, zone: dt.tzinfo) -> tuple[dt.date | None, dt.date | None]:
    """Return the first and the last day, in the zone, that the window touches; ``None`` for an open end."""
    last = None if window.end is None else window.end - dt.timedelta.resolution
    return None if window.start is None else day_of(window.start, zone), None if last is None else day_of(last, zone)


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges of days, both ends inclusive; ``None`` leaves an end open."""

    ranges: tuple[tuple[dt.date | None, dt.date | None], ...]

    @classmethod
    def of(cls, days: Iterable[dt.date], window: tuple[dt.date | None, dt.date | None] | None = None) -> Self:
        """Return the ranges of some days, and of a window."""
        found: list[list[Any]] = []
        for day in sorted(days):
            if found and day - found[-1][1] <= DAY:
                found[-1][1] = day
            else:
                found.append([day, day])
        if len(found) > _MOST:
            found = [[found[0][0], found[-1][1]]]
        return cls((*(() if window is None else (window,)), *((first, last) for first, last in found)))
