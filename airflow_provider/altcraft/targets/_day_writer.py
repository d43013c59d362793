"""The writer of tables whose days are replaced: puts a pull aside by day, and commits it, again where it has to."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Final

from airflow_provider.altcraft.targets._order import lookups_digest
from airflow_provider.altcraft.targets._protocols import Scope, Written
from airflow_provider.altcraft.targets._writer import BaseWriter, InTheWayError

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider.altcraft.targets._spool import Spool

log = logging.getLogger(__name__)

_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0)
"""Seconds, at most, before each further try to commit where another writer was in the way."""


def check_disposition(value: object) -> None:
    """Refuse what is no write disposition of such a table.

    Raises:
        ValueError: neither ``merge`` nor ``replace``.
    """
    if value not in ("merge", "replace"):  # no set: what is given need not be hashable
        raise ValueError(f"write_disposition: expected 'merge' or 'replace', got {value!r}")


def refuse_database_rows(found: int) -> None:
    """Refuse a table that holds rows of a whole database, where those of profiles are replaced.

    Raises:
        ValueError: some were found.
    """
    if found:
        raise ValueError(
            "the table holds rows of a whole database for this list and window, by which each event of these profiles "
            "would be there twice; write to another table, or let it merge"
        )


def commit_properties(scope: Scope, disposition: str) -> dict[str, str]:
    """What a table's history tells of a commit."""
    window = scope.window.to_json()
    return {
        "altcraft.write_disposition": disposition,
        "altcraft.list_id": str(scope.list_id),
        "altcraft.lookups": lookups_digest(scope),
        "altcraft.window_start": window["start"] or "",
        "altcraft.window_end": window["end"] or "",
    }


class DayWriter(BaseWriter):
    """Puts batches aside by day, and commits them in one transaction. An error ends the writer.

    Args:
        uri: of the table.
        scope: of the pull.
        timezone: whose days.
        spool: where the rows are put aside.
    """

    def __init__(self, uri: str, scope: Scope, timezone: str, spool: Spool) -> None:
        super().__init__(uri)
        self._scope = scope
        self._timezone = timezone
        self._spool = spool

    def write(self, batch: pa.RecordBatch) -> None:
        """Put one batch aside."""
        from airflow_provider.altcraft.schema import check_schema
        from airflow_provider.altcraft.targets._days import by_day

        with self._guard():
            check_schema(batch)
            for day, rows in by_day(batch, self._timezone):
                self._spool.add(rows, day)

    def commit(self) -> Written:
        """Put the pull into the table in one transaction, again where another writer was in the way."""
        with self._guard():
            for pause in _PAUSES:
                try:
                    self._write()
                    break
                except InTheWayError as error:
                    log.warning("%s; once more", error)
                    time.sleep(random.uniform(pause / 2, pause))
            else:
                self._write()
            rows = self._spool.rows
            self._ended = "committed"
            self._spool.close()
        return Written(uris=(self._uri,), rows=rows)

    def _write(self) -> None:
        """Put what was put aside into the table as it is now.

        Raises:
            InTheWayError: it has changed since it was read.
        """
        raise NotImplementedError

    def _drop(self) -> None:
        self._spool.close()
