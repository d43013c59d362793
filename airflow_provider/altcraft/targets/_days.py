"""The days of rows and of pulls, for tables whose days are replaced."""

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


def by_day(batch: pa.RecordBatch, timezone: str, days: Any = None) -> Iterator[tuple[dt.date, pa.RecordBatch]]:
    """The rows of a batch by day, in their order within each.

    Args:
        batch: rows.
        timezone: whose days.
        days: of each row, where they are known.
    """
    if days is None:
        local = batch.column("datetime").cast(pa.timestamp("us", tz=timezone))
        days = pc.local_timestamp(local).cast(pa.date32())
    order = pc.sort_indices(days)  # stable
    runs = pc.run_end_encode(days.take(order))
    sorted_rows, at = batch.take(order), 0
    for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield day, sorted_rows.slice(at, end - at)
        at = end


def days_touched(window: Window, zone: dt.tzinfo) -> tuple[dt.date | None, dt.date | None]:
    """The first and the last day of the zone of which the window has a part; ``None`` where it is open."""
    last = None if window.end is None else window.end - dt.timedelta.resolution
    return None if window.start is None else day_of(window.start, zone), None if last is None else day_of(last, zone)


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges of days, both ends inclusive; ``None`` leaves an end open."""

    ranges: tuple[tuple[dt.date | None, dt.date | None], ...]

    @classmethod
    def of(cls, days: Iterable[dt.date], window: tuple[dt.date | None, dt.date | None] | None = None) -> Self:
        """The ranges that some days and a window make."""
        found: list[list[Any]] = []
        for day in sorted(days):
            if found and day - found[-1][1] <= DAY:
                found[-1][1] = day
            else:
                found.append([day, day])
        if len(found) > _MOST:
            found = [[found[0][0], found[-1][1]]]
        return cls((*(() if window is None else (window,)), *((first, last) for first, last in found)))
