"""History as an object for each day of the window, each replaced whole by a commit; those without events too.

Rows are spooled on the local disk by day. A commit first encodes and sends all days, which is the part that may fail,
and then makes them visible in one quick pass. A process that is killed during that pass leaves some days new and some
old, each of them whole, and a retry replaces all.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as pc  # noqa: TID253 - likewise

from airflow_provider.altcraft._arrow import between, instant_of
from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft.schema import check_schema
from airflow_provider.altcraft.targets._protocols import Written
from airflow_provider.altcraft.targets._spool import Spool
from airflow_provider.altcraft.targets.object_storage.choice import stage_at
from airflow_provider.altcraft.targets.object_storage.failures import ReportingWriter
from airflow_provider.altcraft.targets.object_storage.format import Encoder
from airflow_provider.altcraft.targets.object_storage.order import Stamps
from airflow_provider.altcraft.targets.object_storage.staged import Staged
from airflow_provider.altcraft.window import DAY, Window, day_of, midnight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider.altcraft.targets._protocols import Scope
    from airflow_provider.altcraft.targets.object_storage.path import Place

log = logging.getLogger(__name__)

MOST_DAYS = 750
"""Days of one pull, at most: each is an open file or upload until the commit, and a process may have about 1,000."""


def days_of(window: Window) -> list[dt.date]:
    """Return the days whose objects a pull of the window replaces.

    Raises:
        ValueError: the window has a part of a day, whose object would lose the rest, an open end, or too many days.
    """
    if window.start is None or window.end is None:
        raise ValueError(
            "path: with {date} each day of the window is an object, so date_from and date_to must both be given"
        )
    for name, instant in (("date_from", window.start), ("date_to", window.end)):
        if instant != midnight(day_of(instant, window.zone), window.zone):
            raise ValueError(
                f"path: with {{date}} the object of a day is replaced whole, so the window must consist of whole "
                f"{window.zone} days, and {name} is {instant.isoformat()}; give dates, such as '{{{{ ds }}}}', or the "
                f"timezone in which they are whole"
            )
    days = window.days()
    if len(days) > MOST_DAYS:
        raise ValueError(f"path: with {{date}} a pull may have {MOST_DAYS:,} days, not {len(days):,}; split the window")
    return days


class DaysWriter(ReportingWriter):
    """Writes an object for each day. An error ends the writer and leaves nothing staged."""

    def __init__(self, place: Place, scope: Scope) -> None:
        self._days = days_of(scope.window)
        super().__init__(place.uri, place.failures((self._days[0], self._days[-1])) if self._days else None)
        self._place = place
        self._zone = scope.window.zone
        self._stamps = Stamps(scope)
        self._staged: list[Staged] = []
        if self._days:
            _discard(stage_at(place.on(self._days[0])))  # a place that cannot be written is refused now
        self._spool = Spool()

    def write(self, batch: pa.RecordBatch) -> None:
        """Stage one batch."""
        with self._guard():
            check_schema(batch)
            for day, rows in _by_day(batch, self._zone):
                if not (self._days and self._days[0] <= day <= self._days[-1]):
                    raise ValueError(f"{self._place.uri}: a row of {day} is not of the pull's window")
                self._spool.add(rows, day)

    def commit(self) -> Written:
        """Replace the object of each day."""
        with self._guard():
            sent = [self._send(day) for day in self._days]
            each = tuple(size if staged.commit() else (0, 0) for staged, size in zip(self._staged, sent, strict=True))
            self._ended = "committed"
            self._spool.close()
        uris = tuple(staged.uri for staged in self._staged)
        return Written(uris, rows=sum(rows for rows, _ in each), bytes=sum(size for _, size in each), each=each)

    def _drop(self) -> None:
        for staged in self._staged:
            _discard(staged)
        self._spool.close()

    def _send(self, day: dt.date) -> tuple[int, int]:
        """Send a day's rows, and return their number and bytes."""
        rows = 0
        staged = stage_at(self._place.on(day), self._stamps.of(Window.of(day, day, self._zone)))
        self._staged.append(staged)
        encoder = Encoder(self._place.suffix, staged.write)
        try:
            for batch in self._spool.read(day):
                encoder.write(batch)
                rows += batch.num_rows
            size = encoder.finish()
        except BaseException:
            encoder.drop()
            raise
        staged.finish()
        return rows, size


def _discard(staged: Staged) -> None:
    try:
        staged.discard()
    except Exception as error:  # whatever a store that cannot be reached may raise
        log.warning("%s: what was staged could not be removed: %s", staged.uri, redacted(error))


def _by_day(batch: pa.RecordBatch, zone: dt.tzinfo) -> Iterator[tuple[dt.date, pa.RecordBatch]]:
    """Yield the zone's days with their rows, in order."""
    times = batch.column("datetime")
    if not batch.num_rows:
        return
    ends = pc.min_max(times)
    # Not by Arrow, which needs a time zone database on the machine.
    first, last = (day_of(instant_of(ends[name]), zone).toordinal() for name in ("min", "max"))
    for day in map(dt.date.fromordinal, range(first, last + 1)):
        rows = batch.filter(between(times, midnight(day, zone), midnight(day + DAY, zone)))
        if rows.num_rows:
            yield day, rows
