"""The commit to a Delta Lake table: reads the days that a pull touches, and replaces them."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as _pc  # noqa: TID253 - the same
import pyarrow.dataset as ds  # noqa: TID253 - the same
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets._day_rows import MergeRows, ReplaceRows, day_rows
from airflow_provider.altcraft.targets._day_writer import commit_properties, refuse_database_rows
from airflow_provider.altcraft.targets._days import Ranges, by_day, days_touched
from airflow_provider.altcraft.targets._order import lookups_digest
from airflow_provider.altcraft.targets._protocols import Scope, check_keys
from airflow_provider.altcraft.targets._spool import Spool
from airflow_provider.altcraft.targets._writer import room_in

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets.delta.place import Place
    from airflow_provider.altcraft.window import Window

pc: Any = _pc

DATE = "date"

_ZONE = b"altcraft.timezone"
_FEATURES = {"appendOnly", "invariants", "timestampNtz"}
"""Table features that a commit supports."""


_GROUP = 16_384
"""Rows of a row group. The library holds one of each partition that it writes in memory."""

_BATCH = 2_048
"""Rows of a batch for the library, which reads several before it has written the first."""


class Layout:
    """Writes the rows of a pull into a table.

    Args:
        timezone: of the days in the column ``date``.
        disposition: ``merge`` or ``replace``.
    """

    def __init__(self, timezone: str, disposition: str) -> None:
        self._timezone = timezone
        self.disposition = disposition
        date = pa.field(DATE, pa.date32(), nullable=False, metadata={_ZONE: timezone.encode()})
        self._schema = pa.schema([*SCHEMA, date])

    def check(self, table: DeltaTable, scope: Scope) -> None:
        """Refuse a table that a commit cannot write, or whose rows are of another kind.

        Raises:
            ValueError: it does not fit; the message lists every reason.
        """
        misfits = [*self._misfits(table), *_refused_features(table)]
        if misfits:
            raise ValueError("the table is there but does not fit: " + "; ".join(misfits) + "; write to a new table")
        held = table.to_pyarrow_dataset()
        here = _window(scope)
        with_id = held.head(100, columns=["event_key", "event_id"], filter=here & ds.field("event_id").is_valid())
        check_keys(zip(*(each.to_pylist() for each in with_id.columns), strict=True), scope)
        if not _zone(table) and held.head(1, columns=[DATE], filter=here & self._of_another_day()).num_rows:
            raise ValueError(
                f"timezone: the table has rows whose {DATE} is not the day of datetime in {self._timezone!r}, by which "
                f"their events would be there twice; give the time zone of its days, or write to a new table"
            )
        # A whole database replaces all of its list, so only profiles would be doubled.
        if self.disposition == "replace" and scope.lookups is not None:
            of_database = held.head(1, columns=["lookup"], filter=here & ds.field("lookup").is_null())
            refuse_database_rows(of_database.num_rows)

    def _misfits(self, table: DeltaTable) -> Iterator[str]:
        fields: Any = table.schema().to_arrow()
        there: Any = pa.schema(fields)
        for field in self._schema:
            if field.name not in there.names:
                yield f"there is no column {field.name} ({field.type})"
                continue
            found = there.field(field.name)
            if found.type != field.type:
                yield f"column {field.name} is {found.type}; expected {field.type}"
            elif field.nullable and not found.nullable:
                yield f"column {field.name} is not nullable; expected a nullable one"
        for name in set(there.names) - set(self._schema.names):
            yield f"column {name} is not a column of schema.SCHEMA"
        zone = _zone(table)
        if zone and zone != self._timezone:
            yield f"its days are of the time zone {zone!r}, the target's of {self._timezone!r}; give timezone={zone!r}"

    def _of_another_day(self) -> Any:
        """Return the condition that a row's day is of another time zone, as where another program made the table."""
        local = ds.field("datetime").cast(pa.timestamp("us", tz=self._timezone))
        day: Any = pc.local_timestamp(local).cast(pa.date32())
        return (day != ds.field(DATE)) | ds.field(DATE).is_null()

    def commit(
        self,
        place: Place,
        table: DeltaTable | None,
        scope: Scope,
        spool: Spool,
        began: dt.datetime,
        later: Sequence[Window],
    ) -> int:
        """Write the spooled rows into the table in one transaction, and return the number of rows written.

        Args:
            place: of the table.
            table: as it was read, or ``None`` to make it. If the days have changed since then, nothing is written.
            scope: of the pull.
            spool: its rows by day.
            began: when it began.
            later: windows that later pulls of the same list and lookups have written.
        """
        if table is not None and self.disposition == "merge" and not spool.rows:
            return 0
        with room_in(tempfile.gettempdir()), tempfile.TemporaryFile(prefix="altcraft-") as file:
            chosen = day_rows(self.disposition, scope, spool, later)
            ranges = self._days(table, scope, spool, chosen)
            self._write_rows(file, self._rows(table, ranges, chosen, spool))
            # Read by the library without any Python: a generator that fails within it may end the process badly.
            with pa.OSFile(f"/dev/fd/{file.fileno()}", "rb") as source, pa.ipc.open_stream(source) as reader:
                how: Any = {"writer_properties": WriterProperties(compression="ZSTD", max_row_group_size=_GROUP)}
                properties = self._commit_properties(scope, began)
                if table is None:
                    # Tried once: where another writer has made the table in the meantime, the library would add to it.
                    properties.max_commit_retries = 0
                    how["partition_by"], how["storage_options"] = [DATE], place.options()
                    write_deltalake(place.address, reader, commit_properties=properties, **how)
                else:
                    how["mode"], how["predicate"] = "overwrite", predicate_of(ranges)
                    write_deltalake(table, reader, commit_properties=properties, **how)
        return spool.rows - chosen.skipped

    def _commit_properties(self, scope: Scope, began: dt.datetime) -> CommitProperties:
        properties = commit_properties(scope, self.disposition, began)
        if self.disposition == "merge":
            return CommitProperties(custom_metadata=properties)
        # Of two commits with the same transaction id the library accepts one. By the files alone it would accept both,
        # where one replaces a day without files and the other adds rows to it.
        one = Transaction(f"altcraft/{scope.list_id}/{lookups_digest(scope)}", int(began.timestamp()))
        return CommitProperties(custom_metadata=properties, app_transactions=[one])

    def _days(self, table: DeltaTable | None, scope: Scope, spool: Spool, chosen: MergeRows | ReplaceRows) -> Ranges:
        """Return the days that the commit replaces."""
        days = spool.keys()
        if isinstance(chosen, ReplaceRows):
            return Ranges.of(days, days_touched(scope.window, ZoneInfo(self._timezone)))
        if table is not None and scope.event_key_by == "event_id":
            days |= _days_with_events(table.to_pyarrow_dataset(), chosen)
        return Ranges.of(days)

    def _rows(
        self, table: DeltaTable | None, ranges: Ranges, chosen: MergeRows | ReplaceRows, spool: Spool
    ) -> Iterator[pa.RecordBatch]:
        """Yield all rows of the days after the commit."""
        with Spool() as old:
            if table is not None:
                scanner = table.to_pyarrow_dataset().scanner(
                    columns=[*COLUMNS, DATE],
                    filter=_condition(ranges),
                    batch_size=32_768,
                    batch_readahead=2,
                    fragment_readahead=1,
                )
                for batch in scanner.to_batches():
                    for day, rows, _ in by_day(batch.select(list(COLUMNS)), self._timezone, batch.column(DATE)):
                        old.add(rows.cast(SCHEMA), day)
            for day in sorted({*old.keys(), *spool.keys()}):
                stays, added = chosen.filters(day)
                for batch in old.read(day):
                    yield self._with_date(stays(batch), day)
                for batch in spool.read(day):
                    yield self._with_date(added(batch), day)

    def _with_date(self, batch: pa.RecordBatch, day: dt.date) -> pa.RecordBatch:
        date = pa.repeat(pa.scalar(day, pa.date32()), batch.num_rows)
        return pa.RecordBatch.from_arrays([*batch.columns, date], schema=self._schema)

    def _write_rows(self, file: Any, rows: Iterator[pa.RecordBatch]) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(pa.PythonFile(file, mode="w"), self._schema, options=options) as stream:
            for batch in rows:
                if batch.num_rows:
                    stream.write_table(pa.Table.from_batches([batch]), max_chunksize=_BATCH)
        file.seek(0)  # and flush
        pa.default_memory_pool().release_unused()  # before the library, which has a pool of its own, needs as much


def _zone(table: DeltaTable) -> str:
    """Return the time zone that is noted with the column of days; empty without one."""
    fields: Any = table.schema().to_arrow()
    there: Any = pa.schema(fields)
    return ((there.field(DATE).metadata or {}).get(_ZONE, b"") if DATE in there.names else b"").decode()


def _refused_features(table: DeltaTable) -> Iterator[str]:
    protocol = table.protocol()
    for name in sorted({*(protocol.reader_features or ()), *(protocol.writer_features or ())} - _FEATURES):
        yield f"it has the feature {name}, which a commit would not keep"
    if table.metadata().configuration.get("delta.appendOnly") == "true":
        yield "it takes only rows that are added (delta.appendOnly)"


def _window(scope: Scope) -> Any:
    """Return the condition that a row is of the scope's list and window."""
    condition: Any = ds.field("list_id") == scope.list_id
    instant: Any = ds.field("datetime")
    type_ = SCHEMA.field("datetime").type
    if scope.window.start is not None:
        condition &= instant >= pa.scalar(scope.window.start, type_)
    if scope.window.end is not None:
        condition &= instant < pa.scalar(scope.window.end, type_)
    return condition


def _days_with_events(table: ds.Dataset, merged: MergeRows) -> set[dt.date]:
    """Return the days on which the table has events of the pull."""
    found: set[dt.date] = set()
    for batch in table.scanner(columns=["event_key", DATE], batch_size=32_768, batch_readahead=2).to_batches():
        found.update(pc.unique(batch.column(DATE).filter(merged.pull_has(batch.column("event_key")))).to_pylist())
    return found


def predicate_of(days: Ranges) -> str:
    """Return the condition on the days as SQL, with literals, by which the library selects files."""
    ranges = []
    for first, last in days.ranges:
        ends = [f"{DATE} {sign} '{day}'" for sign, day in ((">=", first), ("<=", last)) if day is not None]
        ranges.append(" AND ".join(ends) or "true")
    return "true" if "true" in ranges else " OR ".join(f"({each})" for each in ranges)


def _condition(days: Ranges) -> Any:
    """Return the condition on the days for Arrow."""
    whole: Any = pc.scalar(False)
    for first, last in days.ranges:
        one: Any = pc.scalar(True)
        if first is not None:
            one &= ds.field(DATE) >= pa.scalar(first, pa.date32())
        if last is not None:
            one &= ds.field(DATE) <= pa.scalar(last, pa.date32())
        whole |= one
    return whole
