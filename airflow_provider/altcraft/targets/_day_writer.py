"""The base of writers of tables whose days are replaced: spools a pull by day, and commits it with retries."""

from __future__ import annotations

import datetime as dt
import logging
import random
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow_provider.altcraft.targets._order import lookups_digest, say_overtaken
from airflow_provider.altcraft.targets._protocols import Scope, Written
from airflow_provider.altcraft.targets._writer import BaseWriter, InTheWayError
from airflow_provider.altcraft.window import UTC, Window

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider.altcraft.targets._spool import Spool

log = logging.getLogger(__name__)

_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0)
"""Seconds, at most, before each retry of a commit that another writer was in the way of."""


def check_disposition(value: object) -> None:
    """Refuse any other write disposition than these tables have.

    Raises:
        ValueError: neither ``merge`` nor ``replace``.
    """
    if value not in ("merge", "replace"):  # no set: what is given need not be hashable
        raise ValueError(f"write_disposition: expected 'merge' or 'replace', got {value!r}")


def refuse_database_rows(found: int) -> None:
    """Refuse a table that holds rows of a whole database, where those of profiles are replaced.

    Raises:
        ValueError: it holds some.
    """
    if found:
        raise ValueError(
            "the table holds rows of a whole database for this list and window, by which each event of these profiles "
            "would be there twice; write to another table, or let it merge"
        )


def commit_properties(scope: Scope, disposition: str, began: dt.datetime) -> dict[str, str]:
    """Return the properties that a commit leaves in the table's history."""
    window = scope.window.to_json()
    return {
        "altcraft.write_disposition": disposition,
        "altcraft.began": began.isoformat(),
        "altcraft.list_id": str(scope.list_id),
        "altcraft.lookups": lookups_digest(scope),
        "altcraft.window_start": window["start"] or "",
        "altcraft.window_end": window["end"] or "",
    }


def later_windows(commits: Iterable[Mapping[str, Any]], scope: Scope, began: dt.datetime, uri: str) -> list[Window]:
    """Return, and log, the windows that later pulls of the same list and lookups have written already.

    Args:
        commits: the properties of commits in the table's history, see ``commit_properties``.
        scope: of the pull.
        began: when it began, by the worker's clock.
        uri: of the table.
    """
    found, lookups = [], lookups_digest(scope)
    for each in commits:
        if (each.get("altcraft.list_id"), each.get("altcraft.lookups")) != (str(scope.list_id), lookups):
            continue
        if dt.datetime.fromisoformat(each.get("altcraft.began") or began.isoformat()) <= began:
            continue
        start, end = (each.get(f"altcraft.window_{name}") or None for name in ("start", "end"))
        window = Window(start and dt.datetime.fromisoformat(start), end and dt.datetime.fromisoformat(end))
        if _overlap(window, scope.window):
            say_overtaken(f"{uri}, {start or 'the beginning'} to {end or 'the end'}", str(each["altcraft.began"]))
            found.append(window)
    return found


def _overlap(one: Window, other: Window) -> bool:
    return all(
        start is None or end is None or start < end for start, end in ((one.start, other.end), (other.start, one.end))
    )


class DayWriter(BaseWriter):
    """Spools batches by day, and commits them in one transaction. An error ends the writer.

    Args:
        uri: of the table.
        scope: of the pull.
        timezone: of the days.
        spool: takes the rows.
        disposition: ``merge`` or ``replace``.
    """

    def __init__(self, uri: str, scope: Scope, timezone: str, spool: Spool, disposition: str) -> None:
        super().__init__(uri)
        self._scope = scope
        self._timezone = timezone
        self._spool = spool
        # Of an event on several days the last row stays, and days are read in their order.
        self._are_numbered = disposition == "merge" and scope.event_key_by == "event_id"
        self._began = dt.datetime.now(UTC)  # before any request

    def write(self, batch: pa.RecordBatch) -> None:
        """Spool a batch."""
        from airflow_provider.altcraft.schema import check_schema
        from airflow_provider.altcraft.targets._days import by_day

        with self._guard():
            check_schema(batch)
            for day, rows, numbers in by_day(batch, self._timezone, first=self._spool.rows):
                self._spool.add(rows, day, numbers if self._are_numbered else None)

    def commit(self) -> Written:
        """Write the pull in one transaction, and again where another writer was in the way."""
        with self._guard():
            for pause in _PAUSES:
                try:
                    rows = self._write()
                    break
                except InTheWayError as error:
                    log.warning("%s; once more", error)
                    time.sleep(random.uniform(pause / 2, pause))
            else:
                rows = self._write()
            self._ended = "committed"
            self._spool.close()
        return Written(uris=(self._uri,), rows=rows)

    def _write(self) -> int:
        """Write the spooled rows into the table as it is now, and return the number of rows written.

        Rows of later pulls of the same list and lookups stay; the pull's rows that are left out for them do not count.

        Raises:
            InTheWayError: the table has changed since it was read.
        """
        raise NotImplementedError

    def _drop(self) -> None:
        self._spool.close()
