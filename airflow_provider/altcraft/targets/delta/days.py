"""The days of rows and of pulls, as a column, as conditions and as literals in a predicate."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self
from zoneinfo import ZoneInfo

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as _pc  # noqa: TID253 - the same
import pyarrow.dataset as ds  # noqa: TID253 - the same

pc: Any = _pc

DAY = dt.timedelta(days=1)

_MOST = 50
"""Ranges in one predicate; more are read and written as one."""


def day_in(instant: dt.datetime, timezone: str) -> dt.date:
    """The day of an instant in a time zone."""
    return instant.astimezone(ZoneInfo(timezone)).date()


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

    def sql(self, name: str) -> str:
        """The condition on a column, with the days as literals: only by these does the library tell files apart."""
        ranges = []
        for first, last in self.ranges:
            ends = [f"{name} {sign} '{day}'" for sign, day in ((">=", first), ("<=", last)) if day is not None]
            ranges.append(" AND ".join(ends) or "true")
        return "true" if "true" in ranges else " OR ".join(f"({each})" for each in ranges)

    def expression(self, name: str) -> Any:
        """The same for Arrow."""
        whole: Any = pa.compute.scalar(False)
        for first, last in self.ranges:
            one: Any = pa.compute.scalar(True)
            if first is not None:
                one &= ds.field(name) >= pa.scalar(first, pa.date32())
            if last is not None:
                one &= ds.field(name) <= pa.scalar(last, pa.date32())
            whole |= one
        return whole
