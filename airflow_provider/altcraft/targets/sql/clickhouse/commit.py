"""The commit to a table of ClickHouse: rows are staged in another table, then put in place day by day."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as _pc  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets._day_rows import MergeRows
from airflow_provider.altcraft.targets._day_writer import later_windows, refuse_database_rows
from airflow_provider.altcraft.targets._masks import of_another_list, within
from airflow_provider.altcraft.targets._protocols import Scope, check_keys
from airflow_provider.altcraft.targets._spool import Spool
from airflow_provider.altcraft.targets.sql.clickhouse.notes import Notes
from airflow_provider.altcraft.targets.sql.clickhouse.server import Server, text
from airflow_provider.altcraft.targets.sql.clickhouse.table import (
    DAY,
    PULLED_AT,
    Shape,
    check,
    definition,
    full_name,
    refuse_append,
    shape_of,
)
from airflow_provider.altcraft.targets.sql.clickhouse.turn import Turn
from airflow_provider.altcraft.targets.sql.names import Name
from airflow_provider.altcraft.targets.sql.rows import IDENTITY, LISTED, LOOKUP, lookups, samples, slices
from airflow_provider.altcraft.window import UTC, Window

pc: Any = _pc

log = logging.getLogger(__name__)

_ROWS = 50_000
"""Rows of one ``INSERT``."""

_FIRST, _LAST = dt.datetime(1970, 1, 1, tzinfo=UTC), dt.datetime(2149, 6, 6, tzinfo=UTC)
"""The type ``Date`` holds the days from the first instant to before the last."""


def refuse_far(batch: pa.RecordBatch, uri: str) -> None:
    """Refuse rows whose day cannot be a partition of the table.

    Raises:
        ValueError: there are such rows.
    """
    for at in pc.min_max(batch.column("datetime")).as_py().values():
        if at is not None and not _FIRST <= at < _LAST:
            raise ValueError(
                f"{uri}: datetime: ClickHouse's Date has the days from {_FIRST:%Y-%m-%d} to before {_LAST:%Y-%m-%d}, "
                f"got an event of {at.isoformat()}; give date_from and date_to within"
            )


class Commit:
    """A connection that writes one table.

    Args:
        server: the connection.
        name: the table, with its database.
        uri: what errors call it.
        disposition: ``merge`` or ``replace``.
    """

    def __init__(self, server: Server, name: Name, uri: str, disposition: str) -> None:
        self._server = server
        self._name = name
        self._uri = uri
        self._disposition = disposition
        self._table = full_name(name)
        self._notes = Notes(server, name)

    def prove(self, scope: Scope) -> dt.datetime:
        """Try the steps of a commit that do not change the table, and return the time by the server's clock.

        Raises:
            ValueError: the table, its database or its rows do not fit.
        """
        refuse_append(self._disposition)
        began = self._server.now()
        self._check_database()
        shape = self._shape()
        if shape is not None:
            self._check_rows(scope)
        with Turn(self._server, self._name) as turn:
            staged = full_name(turn.stage(definition(self._disposition) if shape is None else f"AS {self._table}"))
            if shape is not None:
                self._server.run(f"ALTER TABLE {self._table} ATTACH PARTITION '1970-01-01' FROM {staged}")  # of none
            self._insert(staged, samples(scope)[:1], began)
            if self._disposition == "replace":
                self._notes.make()
        return began

    def write(self, scope: Scope, spool: Spool, began: dt.datetime) -> int:
        """Write the spooled rows into the table, day by day, and return the number of rows written.

        Args:
            scope: of the pull.
            spool: its rows by day.
            began: when it began, by the server's clock.

        Raises:
            InTheWayError: another writer has taken the turn; some days may be written already.
        """
        with Turn(self._server, self._name) as turn:
            self._server.run(f"CREATE TABLE IF NOT EXISTS {self._table} {definition(self._disposition)}")
            shape = self._shape()
            assert shape is not None  # noqa: S101 - it was made just now
            if self._disposition == "merge":
                return self._merge(turn, scope, spool, began)
            return self._replace(turn, shape, scope, spool, began)

    # Checks

    def _check_database(self) -> None:
        database = str(self._name.schema)
        found = self._server.rows(f"SELECT engine FROM system.databases WHERE name = {text(database)}")
        if not found:
            raise ValueError(f"there is no database {database!r}; make it: CREATE DATABASE …")
        if found[0][0] != "Atomic":
            raise ValueError(
                f"the database {database!r} is of the engine {found[0][0]}; expected Atomic, for only where one server "
                f"has the table can its writers be kept apart (replicas, clusters and ClickHouse Cloud are refused)"
            )

    def _shape(self) -> Shape | None:
        shape = shape_of(self._server, self._name)
        if shape is not None:
            check(self._name, shape, self._disposition)
        return shape

    def _check_rows(self, scope: Scope) -> None:
        """Refuse a table that already has the scope's events by other keys or by the other kind of pull."""
        where = _in_window(scope)
        select = f"SELECT event_key, event_id FROM {self._table} WHERE {where} AND event_id IS NOT NULL LIMIT 100"
        check_keys(self._server.rows(select), scope)
        if self._disposition == "replace" and scope.lookups is not None:
            ((count,),) = self._server.rows(f"SELECT count() FROM {self._table} WHERE {where} AND lookup IS NULL")
            refuse_database_rows(count)

    # Merge

    def _merge(self, turn: Turn, scope: Scope, spool: Spool, began: dt.datetime) -> int:
        """Add the rows; of each event the engine keeps the row of the latest pull."""
        place = turn.stage(f"AS {self._table}")
        staged, days = full_name(place), sorted(spool.keys())
        merged = MergeRows(spool, (), across_days=True) if scope.event_key_by == "event_id" else None
        for day in days:
            rows = spool.read(day)
            if merged is not None:  # the engine unites rows of one day only
                _, added = merged.filters(day)
                rows = map(added, rows)
            self._stage_day(turn, staged, rows, began)
            self._make_one_part(place, day)
        for day in days:
            turn.live()
            self._server.run(f"ALTER TABLE {self._table} ATTACH PARTITION '{day}' FROM {staged}")
        if scope.event_key_by == "event_id":
            self._remove_moved(staged, began)
        return spool.rows

    def _remove_moved(self, staged: str, began: dt.datetime) -> None:
        """Remove the pull's events on other days than before: the engine merges rows of one day only.

        The keys stand in the statement: a DELETE that reads another table would wait forever if that is dropped.
        """
        select = (
            f"SELECT DISTINCT {DAY}, event_key FROM {self._table} WHERE event_key IN (SELECT event_key FROM {staged})"
            f" AND (event_key, {DAY}) NOT IN (SELECT event_key, {DAY} FROM {staged})"
            f" AND {PULLED_AT} <= {_instant(began)}"
        )
        moved = iter(self._server.rows(select))
        while some := list(islice(moved, LISTED)):
            pairs = ", ".join(f"({text(key)}, {text(str(day))})" for day, key in some)
            self._server.run(
                f"DELETE FROM {self._table} WHERE (event_key, toString({DAY})) IN ({pairs})"
                f" AND {PULLED_AT} <= {_instant(began)}"
            )

    # Replace

    def _replace(self, turn: Turn, shape: Shape, scope: Scope, spool: Spool, began: dt.datetime) -> int:
        """Replace each day by its rows outside the scope and the pull's rows."""
        self._check_rows(scope)
        self._notes.make()
        later = later_windows(self._notes.read(), scope, began, self._uri)
        place = turn.stage(f"AS {self._table}")
        staged = full_name(place)
        stays = self._stays(turn, scope, spool, later)
        found = self._server.rows(f"SELECT DISTINCT {DAY} FROM {self._table} WHERE {_in_window(scope)}")
        days = sorted({*spool.keys(), *(day for (day,) in found)})
        columns, written = ", ".join(f"`{name}`" for name in shape.stored), 0
        for day in days:
            rows = (_not_overtaken(batch, scope, later) for batch in spool.read(day))
            written += self._stage_day(turn, staged, rows, began)
            turn.live()
            self._server.run(
                f"INSERT INTO {staged} ({columns}) SELECT {columns} FROM {self._table}"
                f" WHERE {DAY} = {text(str(day))} AND {stays}"
            )
            self._make_one_part(place, day)
        for day in days:
            turn.live()
            self._server.run(f"ALTER TABLE {self._table} REPLACE PARTITION '{day}' FROM {staged}")
        self._notes.add(scope, began)
        return written

    def _stays(self, turn: Turn, scope: Scope, spool: Spool, later: Sequence[Window]) -> str:
        """Return the condition that a row of the table stays."""
        replaced = [_in_window(scope), *(f"NOT ({_inside(window)})" for window in later)]
        if scope.lookups is not None:
            asked = self._stage_texts(turn, LOOKUP, lookups(scope.lookups))
            replaced.append(f"({', '.join(LOOKUP)}) IN (SELECT {', '.join(LOOKUP)} FROM {asked})")
        stays = f"NOT ifNull({' AND '.join(replaced)}, 0)"
        # Rows of another list are no part of the scope, but this or an earlier pull may have written them.
        foreign = self._foreign(spool, scope.list_id)
        first = next(foreign, None)
        if first is not None:
            again = self._stage_texts(turn, IDENTITY, chain([first], foreign))
            names = ", ".join(f"ifNull({name}, '\\0')" for name in IDENTITY)
            stays += f" AND NOT (ifNull(list_id, -1) != {scope.list_id} AND ({names}) IN (SELECT {names} FROM {again}))"
        return stays

    def _foreign(self, spool: Spool, list_id: int) -> Iterator[pa.RecordBatch]:
        for day in sorted(spool.keys()):
            for batch in spool.read(day):
                found = batch.filter(of_another_list(batch, list_id))
                if found.num_rows:
                    yield found.select(list(IDENTITY))

    # Rows

    def _stage_texts(self, turn: Turn, names: Sequence[str], batches: Iterable[pa.RecordBatch]) -> str:
        columns = ", ".join(f"{name} Nullable(String)" for name in names)
        staged = full_name(turn.stage(f"({columns}) ENGINE = MergeTree ORDER BY tuple()"))
        for batch in slices(batches, _ROWS):
            turn.live()
            self._server.insert(staged, pa.Table.from_batches([batch]))
        return staged

    def _stage_day(self, turn: Turn, staged: str, batches: Iterable[pa.RecordBatch], began: dt.datetime) -> int:
        """Stage the rows of one day, and return their number."""
        count = 0
        for batch in slices(batches, _ROWS):
            turn.live()
            self._insert(staged, [batch], began)
            count += batch.num_rows
        return count

    def _insert(self, into: str, batches: Sequence[pa.RecordBatch], began: dt.datetime) -> None:
        rows = pa.Table.from_batches(batches).select(list(COLUMNS))
        instants = pa.repeat(pa.scalar(began, pa.timestamp("us", tz="UTC")), rows.num_rows)
        self._server.insert(into, rows.append_column(PULLED_AT, instants))

    def _make_one_part(self, staged: Name, day: dt.date) -> None:
        """Merge the day's rows into one part, so that a crash of the server leaves all or none of them."""
        where = f"database = {text(str(staged.schema))} AND table = {text(staged.table)}"
        ((parts,),) = self._server.rows(
            f"SELECT count() FROM system.parts WHERE {where} AND active AND partition = {text(str(day))}"
        )
        if parts > 1:
            self._server.run(f"OPTIMIZE TABLE {full_name(staged)} PARTITION '{day}' FINAL")


def _not_overtaken(batch: pa.RecordBatch, scope: Scope, later: Sequence[Window]) -> pa.RecordBatch:
    if not later:
        return batch
    return batch.filter(pc.or_(of_another_list(batch, scope.list_id), pc.invert(within(batch, later))))


def _in_window(scope: Scope) -> str:
    """Return the condition that a row is of the scope's list and window."""
    return f"list_id = {scope.list_id} AND {_inside(scope.window)}"


def _inside(window: Window) -> str:
    # All rows lie between the first and the last instant, and beyond them constants would be other instants.
    ends = [f"datetime {compare} {_instant(min(max(end, _FIRST), _LAST))}" for compare, end in window.bounds]
    return " AND ".join(ends) or "1"


def _instant(value: dt.datetime) -> str:
    shown = value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return f"toDateTime64('{shown}', 6, 'UTC')"
