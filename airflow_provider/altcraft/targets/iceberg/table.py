"""The commit to an Iceberg table: the days that a pull touches are replaced in one commit of the catalog.

The library's own methods do not fit: ``upsert`` doubles rows where two writers add the same keys at once, and keeps all
rows in memory; ``overwrite`` of a partitioned table needs all its rows in memory.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import uuid
import warnings
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as _pc  # noqa: TID253 - the same
from airflow.providers.apache.iceberg.hooks.iceberg import IcebergHook
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform, IdentityTransform, VoidTransform
from pyiceberg.types import IcebergType, LongType, NestedField, StringType, TimestamptzType

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets._day_rows import MergeRows, ReplaceRows, day_rows
from airflow_provider.altcraft.targets._day_writer import commit_properties, later_windows, refuse_database_rows
from airflow_provider.altcraft.targets._days import Ranges, by_day, days_touched
from airflow_provider.altcraft.targets._protocols import Scope, check_keys
from airflow_provider.altcraft.targets._spool import Spool
from airflow_provider.altcraft.targets.iceberg.errors import translated_errors
from airflow_provider.altcraft.window import DAY, UTC, Window, midnight

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table, Transaction

pc: Any = _pc

_TYPES: Final[dict[pa.DataType, IcebergType]] = {
    pa.int64(): LongType(),
    pa.string(): StringType(),
    pa.timestamp("us", tz="UTC"): TimestamptzType(),
}

_NEWEST_FORMAT = 2

_FILE_ROWS = 50_000
"""Rows of a data file, at most: so many are in memory at once."""

_FILE_BYTES = 64 << 20
"""Bytes in memory from which on a data file has enough rows: 50,000 as most are take a quarter of them."""


class IcebergTable:
    """A table, found again in its catalog at each step.

    Args:
        uri: what errors call it.
        conn_id: the Airflow connection.
        name: of the table, with its namespace.
        disposition: ``merge`` or ``replace``.
        catalog: the catalog's name, where it is not the connection's id.
    """

    def __init__(self, uri: str, conn_id: str, name: str, disposition: str, catalog: str | None) -> None:
        self.uri = uri
        self._conn_id = conn_id
        self._name = name
        self.disposition = disposition
        self._catalog_name = catalog

    def prove(self, scope: Scope) -> frozenset[int]:
        """Check the table, and write and remove a file next to its files.

        Returns:
            The ids of the table's snapshots.

        Raises:
            ValueError: the table does not fit.
            OSError: the catalog or the place cannot be reached or written.
        """
        with translated_errors(self.uri, self._namespace):
            catalog = self._catalog()
            table = self._load(catalog)
            if table is not None:
                self._check(table, scope)
            there = table or self._creation(catalog)._table
            probe = there.io.new_output(f"{there.location().rstrip('/')}/metadata/altcraft-probe-{uuid.uuid4().hex}")
            with probe.create() as file:
                file.write(b"")
            there.io.delete(probe)
            return frozenset(each.snapshot_id for each in table.snapshots()) if table is not None else frozenset()

    def commit(self, scope: Scope, spool: Spool, began: dt.datetime, known: frozenset[int]) -> int:
        """Write the spooled rows into the table in one commit of the catalog, and return the number of rows written.

        Args:
            scope: of the pull.
            spool: its rows by day.
            began: when it began. Rows in windows of later pulls are left out.
            known: the snapshots from before the pull, which are of earlier pulls, whatever their workers' clocks said.

        Raises:
            InTheWayError: another writer has committed since the table was read.
        """
        with translated_errors(self.uri, self._namespace):
            catalog = self._catalog()
            table = self._load(catalog)
            later = later_windows(_commits(table, known), scope, began, self.uri)
            if table is not None:
                self._check(table, scope)
                if self.disposition == "merge" and not spool.rows:
                    return 0
            transaction = table.transaction() if table is not None else self._creation(catalog)
            chosen = day_rows(self.disposition, scope, spool, later)
            days = _days_to_write(table, scope, spool, chosen)
            with _removing_what_fails(transaction._table.io):
                properties = commit_properties(scope, self.disposition, began)
                _replace_days(transaction, table, days, chosen, spool, properties)
            _commit(transaction)
            return spool.rows - chosen.skipped

    @property
    def _namespace(self) -> str:
        return self._name.rpartition(".")[0]

    def _catalog(self) -> Catalog:
        try:
            catalog = IcebergHook(self._conn_id).catalog
        except AirflowNotFoundException as error:
            raise ValueError(f"{self.uri}: there is no Airflow connection {self._conn_id!r}; make it") from error
        if self._catalog_name is None or self._catalog_name == catalog.name:
            return catalog
        return load_catalog(self._catalog_name, **catalog.properties)

    def _load(self, catalog: Catalog) -> Table | None:
        try:
            return catalog.load_table(self._name)
        except NoSuchTableError:
            return None

    def _creation(self, catalog: Catalog) -> Transaction:
        """Return the transaction that makes the table."""
        if not catalog.namespace_exists(self._namespace):
            raise ValueError(f"{self.uri}: the catalog has no namespace {self._namespace!r}; make it first")
        fields = [
            NestedField(number, field.name, _TYPES[field.type], required=not field.nullable)
            for number, field in enumerate(SCHEMA, 1)
        ]
        day = PartitionField(COLUMNS.index("datetime") + 1, PARTITION_FIELD_ID_START, DayTransform(), "datetime_day")
        return catalog.create_table_transaction(
            self._name, Schema(*fields), partition_spec=PartitionSpec(day), properties={"format-version": "2"}
        )

    def _check(self, table: Table, scope: Scope) -> None:
        """Refuse a table that a commit cannot write, or whose rows are of another kind."""
        misfits = [*_misfits(table)]
        if misfits:
            raise ValueError("the table is there but does not fit: " + "; ".join(misfits) + "; write to a new table")
        here = _condition(scope)
        with_id = table.scan(
            f"{here} and event_id is not null", selected_fields=("event_key", "event_id"), limit=100
        ).to_arrow()
        check_keys(zip(*(with_id[name].to_pylist() for name in ("event_key", "event_id")), strict=True), scope)
        # A whole database replaces all of its list, so only profiles would be doubled.
        if self.disposition == "replace" and scope.lookups is not None:
            of_database = table.scan(f"{here} and lookup is null", selected_fields=("lookup",), limit=1)
            refuse_database_rows(of_database.to_arrow().num_rows)


def _days_to_write(table: Table | None, scope: Scope, spool: Spool, chosen: MergeRows | ReplaceRows) -> set[dt.date]:
    days: set[dt.date] = spool.keys()
    if table is None:
        return days
    if isinstance(chosen, ReplaceRows):
        days |= _days_of(table, _in_window(scope))
    elif scope.event_key_by == "event_id":
        days |= _days_with_events(table, chosen)
    # Many ranges of days are removed as one, and so are the days between them.
    removed = sum((last - first + DAY) // DAY for first, last in Ranges.of(days).ranges if first and last)
    return days if removed == len(days) else days | _days_of(table, _on(days))


def _replace_days(
    transaction: Transaction,
    table: Table | None,
    days: set[dt.date],
    chosen: MergeRows | ReplaceRows,
    spool: Spool,
    properties: dict[str, str],
) -> None:
    """Remove the rows of the days, and add all rows that the days have after the commit."""
    if table is not None and days:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of days on which there is nothing yet
            transaction.delete(_on(days), snapshot_properties=properties)
    counter, update = itertools.count(), transaction.update_snapshot(snapshot_properties=properties)
    with update.fast_append() as append:
        for day in sorted(days):
            for rows in _tables(_rows_of(table, day, chosen, spool)):
                files = _dataframe_to_data_files(
                    transaction.table_metadata, rows, transaction._table.io, append.commit_uuid, counter
                )
                for file in files:
                    append.append_data_file(file)
                del rows, files  # before the next file's are gathered


def _commits(table: Table | None, known: frozenset[int]) -> list[dict[str, str]]:
    """Return the properties of each commit that is not known."""
    snapshots = table.snapshots() if table is not None else []
    summaries = [each.summary for each in snapshots if each.snapshot_id not in known]
    return [each.additional_properties for each in summaries if each is not None]


@contextlib.contextmanager
def _removing_what_fails(io: Any) -> Iterator[None]:
    """Remove the files of a commit that fails, as on a full disk."""
    begun, new_output = [], io.new_output

    def noting(location: str) -> Any:
        begun.append(location)
        return new_output(location)

    io.new_output = noting
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # the store may be away, and each further removal would wait for it
            for location in begun:
                with contextlib.suppress(FileNotFoundError):
                    io.delete(location)
        raise
    finally:
        del io.new_output


def _commit(transaction: Transaction) -> None:
    """Commit once, and remove nothing where the catalog refuses.

    The library would retry by itself; here the writer does, which first reads the table again. The library would also
    remove its manifests, although the commit may have succeeded: where an answer is lost, clients such as AWS's repeat
    the request, and hear that the table has changed.
    """
    transaction._snapshot_producers = []
    transaction.commit_transaction()


def _misfits(table: Table) -> Iterator[str]:
    if table.format_version > _NEWEST_FORMAT:
        yield f"it is of format version {table.format_version}, the newest that is written is {_NEWEST_FORMAT}"
    there = {field.name: field for field in table.schema().fields}
    for field in SCHEMA:
        found = there.pop(field.name, None)
        if found is None:
            yield f"there is no column {field.name} ({_TYPES[field.type]})"
        elif found.field_type != _TYPES[field.type]:
            yield f"column {field.name} is {found.field_type}; expected {_TYPES[field.type]}"
        elif field.nullable and found.required:
            yield f"column {field.name} is required; expected an optional one"
    for name in there:
        yield f"column {name} is not a column of schema.SCHEMA"
    for part in table.spec().fields:
        if not isinstance(part.transform, (DayTransform, IdentityTransform, VoidTransform)):
            yield f"it is partitioned by {part.transform}; expected day(datetime), columns as they are, or nothing"


def _condition(scope: Scope) -> str:
    """Return the condition that a row is of the scope's list and window."""
    return f"list_id = {scope.list_id} and {_within(scope.window)}"


def _within(window: Window) -> str:
    ends = [f"datetime {compare} '{end.isoformat()}'" for compare, end in window.bounds]
    return " and ".join(["datetime is not null", *ends])


def _on_days(first: dt.date | None, last: dt.date | None) -> str:
    """Return the condition that a row is on one of the days from the first to the last; ``None`` is no bound."""
    start = None if first is None else midnight(first, UTC)
    return _within(Window(start, None if last is None else midnight(last, UTC) + DAY))


def _in_window(scope: Scope) -> str:
    """Return the condition that a row is on a day that the window touches."""
    return _on_days(*days_touched(scope.window, UTC))


def _on(days: Collection[dt.date]) -> str:
    """Return the condition that a row is on one of the days."""
    return " or ".join(f"({_on_days(first, last)})" for first, last in Ranges.of(days).ranges)


def _scan(table: Table, where: str, *names: str) -> Iterator[pa.RecordBatch]:
    yield from table.scan(where, selected_fields=names).to_arrow_batch_reader()


def _days_of(table: Table, where: str) -> set[dt.date]:
    return {day for batch in _scan(table, where, "datetime") for day in _unique_days(batch)}


def _days_with_events(table: Table, merged: MergeRows) -> set[dt.date]:
    """Return the days on which the table has events of the pull."""
    found: set[dt.date] = set()
    for batch in _scan(table, _within(Window()), "event_key", "datetime"):
        found.update(_unique_days(batch.filter(merged.pull_has(batch.column("event_key").cast(pa.string())))))
    return found


def _unique_days(batch: pa.RecordBatch) -> Iterator[dt.date]:
    for day, _, _ in by_day(batch, "UTC"):
        yield day


def _rows_of(
    table: Table | None, day: dt.date, chosen: MergeRows | ReplaceRows, spool: Spool
) -> Iterator[pa.RecordBatch]:
    """Yield all rows of a day after the commit."""
    stays, added = chosen.filters(day)
    if table is not None:
        for batch in _scan(table, _on([day]), *COLUMNS):
            yield stays(batch.select(list(COLUMNS)).cast(SCHEMA))
    for batch in spool.read(day):
        yield added(batch)


def _tables(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows as tables of ``_FILE_ROWS``, or fewer where they are large, one for each file."""
    gathered: list[pa.RecordBatch] = []
    room, size = _FILE_ROWS, 0
    for batch in batches:
        rest = batch
        while rest.num_rows:
            some = rest.slice(0, room)
            gathered.append(some)
            rest, room, size = rest.slice(some.num_rows), room - some.num_rows, size + some.nbytes
            if not room or size >= _FILE_BYTES:
                yield pa.Table.from_batches(gathered, SCHEMA)
                gathered, room, size = [], _FILE_ROWS, 0
    if gathered:
        yield pa.Table.from_batches(gathered, SCHEMA)
