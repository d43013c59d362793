"""The writer of a table of ClickHouse."""

from __future__ import annotations

import datetime as dt
import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time

from airflow_provider.altcraft._extras import not_installed
from airflow_provider.altcraft.targets._day_writer import DayWriter
from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.targets._spool import Spool
from airflow_provider.altcraft.targets.sql.errors import UnreachableError
from airflow_provider.altcraft.targets.sql.names import Name

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets.sql.clickhouse.commit import Commit

log = logging.getLogger(__name__)


def open_table(hook: Any, name: Name, uri: str, disposition: str, scope: Scope) -> ClickHouseWriter:
    """Begin a write: try the steps of a commit that do not change the table.

    Raises:
        ValueError: the disposition, the provider, the database or the table does not fit.
        OSError: the server cannot be reached or written now.
    """
    place = Place(hook, name, uri, disposition)
    with place.commit() as commit:
        began = commit.prove(scope)
    return ClickHouseWriter(place, scope, began, Spool())


class Place:
    """A table, and how it is reached.

    Args:
        hook: of the connection.
        name: the table; without a database, it is in the connection's.
        uri: what errors call it.
        disposition: ``merge`` or ``replace``.
    """

    def __init__(self, hook: Any, name: Name, uri: str, disposition: str) -> None:
        self.uri = uri
        self._hook = hook
        self._name = name
        self.disposition = disposition

    @contextmanager
    def commit(self) -> Iterator[Commit]:
        """Connect; errors name the table and show no row."""
        try:
            from airflow_provider.altcraft.targets.sql.clickhouse.commit import Commit
            from airflow_provider.altcraft.targets.sql.clickhouse.server import Server, translated_errors
        except ImportError as error:
            raise ValueError(f"{self.uri}: {not_installed('clickhouse', error)}") from error
        with translated_errors(self.uri), Server(self._hook) as server:
            name = Name(self._name.table, self._name.schema or server.database)
            yield Commit(server, name, self.uri, self.disposition)


class ClickHouseWriter(DayWriter):
    """Spools batches by day, and replaces each day at once. An error ends the writer."""

    reconnects_for: ClassVar[float] = 30.0
    """Seconds for which a commit tries to connect: the pull is done, and its rows would be lost with the task."""

    def __init__(self, place: Place, scope: Scope, began: dt.datetime, spool: Spool) -> None:
        super().__init__(place.uri, scope, "UTC", spool, place.disposition)
        self._place = place
        self._began = began

    def write(self, batch: pa.RecordBatch) -> None:
        """Spool a batch."""
        super().write(batch)
        from airflow_provider.altcraft.targets.sql.clickhouse.commit import refuse_far

        with self._guard():
            refuse_far(batch, self._uri)

    def _write(self) -> int:
        deadline = time.monotonic() + self.reconnects_for
        while True:
            try:
                with self._place.commit() as commit:
                    return commit.write(self._scope, self._spool, self._began)
            except UnreachableError as error:
                if time.monotonic() >= deadline:
                    raise
                log.warning("%s; once more", error)
                time.sleep(random.uniform(0.5, 1.0))
