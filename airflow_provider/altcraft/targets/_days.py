"""History as an object for each UTC day, each replaced whole by a commit; days without events are objects too.

Rows are put aside on the local disk by day. A commit encodes and sends all days first, which is where it may fail, and
then makes them visible in one quick pass. Who is killed amid that leaves some days new and some old, each of them
whole, and a retry replaces all.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as pc  # noqa: TID253 - likewise

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets._base import Written
from airflow_provider.altcraft.targets._formats import Encoder
from airflow_provider.altcraft.targets._spool import Spool
from airflow_provider.altcraft.targets._staged import Staged, stage_at
from airflow_provider.altcraft.targets._steps import StorageSteps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider.altcraft.targets._base import Scope
    from airflow_provider.altcraft.targets._paths import Place
    from airflow_provider.altcraft.window import Window

log = logging.getLogger(__name__)

MOST_DAYS = 750
"""Days of one pull: each is an open file or upload until the commit, and a process has about a thousand."""


def days_of(window: Window) -> list[dt.date]:
    """The days whose objects a pull of the window replaces.

    Raises:
        ValueError: a window that has a part of a day, whose object would lose the rest, or no ends, or too many days.
    """
    if window.start is None or window.end is None:
        raise ValueError(
            "path: with {date} each day of the window is an object, so date_from and date_to must both be given"
        )
    for name, instant in (("date_from", window.start), ("date_to", window.end)):
        if instant.time() != dt.time():
            raise ValueError(
                f"path: with {{date}} the object of a day is replaced whole, so the window must consist of whole UTC "
                f"days, and {name} is {instant.isoformat()}; give dates, such as '{{{{ ds }}}}'"
            )
    days = window.days()
    if len(days) > MOST_DAYS:
        raise ValueError(f"path: with {{date}} a pull may have {MOST_DAYS} days, not {len(days)}; split the window")
    return days


class DaysWriter(StorageSteps):
    """Writes an object for each day. An error ends the writer and leaves nothing staged."""

    def __init__(self, place: Place, scope: Scope) -> None:
        super().__init__(place.uri)
        self._place = place
        self._days = days_of(scope.window)
        self._staged: list[Staged] = []
        if self._days:
            _discard(stage_at(place.on(self._days[0])))  # a place that cannot be written is refused now
        self._spool = Spool()

    def write(self, batch: pa.RecordBatch) -> None:
        """Stage one batch."""
        with self._one_step():
            if not batch.schema.equals(SCHEMA):
                raise ValueError(f"a batch has not the schema of a target's rows, but:\n{batch.schema}")
            for day, rows in _by_day(batch):
                if not (self._days and self._days[0] <= day <= self._days[-1]):
                    raise ValueError(f"{self._place.uri}: a row of {day} is not of the pull's window")
                self._spool.add(rows, day)

    def keep_failures(self, failed: Sequence[Mapping[str, Any]]) -> str | None:
        """List the profiles passed over in a hidden file for the window, or remove it where there are none."""
        from airflow_provider.altcraft.targets._failures import keep

        with self._one_step():
            if not self._days:
                return None
            return keep(self._place.failures((self._days[0], self._days[-1])), failed)

    def commit(self) -> Written:
        """Put what was staged in place of each day's object."""
        with self._one_step():
            each = tuple(self._send(day) for day in self._days)
            for staged in self._staged:
                staged.commit()
            self._ended = "committed"
            self._spool.close()
        uris = tuple(staged.uri for staged in self._staged)
        return Written(uris=uris, rows=self._spool.rows, bytes=sum(size for _, size in each), each=each)

    def _drop(self) -> None:
        for staged in self._staged:
            _discard(staged)
        self._spool.close()

    def _send(self, day: dt.date) -> tuple[int, int]:
        """Send a day's rows, and return how many they are, and their bytes."""
        rows = 0
        staged = stage_at(self._place.on(day))
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
    except Exception as error:  # whatever a store that is gone may raise
        log.warning("%s: what was staged could not be removed: %s", staged.uri, error)


def _by_day(batch: pa.RecordBatch) -> Iterator[tuple[dt.date, pa.RecordBatch]]:
    """The rows of each UTC day, in their order."""
    days = pc.cast(batch.column("datetime"), pa.date32())
    for day in pc.unique(days):
        yield day.as_py(), batch.filter(pc.equal(days, day))
