"""Which rows stay where a pull is put into a table whose days are replaced, and which of the pull's own are written."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, reduce
from typing import Any, TypeAlias

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as _pc  # noqa: TID253 - the same

from airflow_provider.altcraft._arrow import between
from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.targets._spool import Spool
from airflow_provider.altcraft.window import Window

pc: Any = _pc

Choose: TypeAlias = Callable[[pa.RecordBatch], pa.RecordBatch]

_SLICE = 100_000
"""Lookups made an array at once."""


class Newest:
    """A merge: of each ``event_key`` one row stays, the last that came.

    Where a later pull of the same has written, its rows stay.

    Args:
        spool: the pull's rows by day.
        later: the windows of later pulls. They do not count where events are looked for on other days too.
        across_days: the same event may be on another day than before, for its key does not hold its instant.
    """

    def __init__(self, spool: Spool, later: Sequence[Window], *, across_days: bool) -> None:
        self.left_out = 0  # rows of the pull that were not written
        self._spool = spool
        self._later = () if across_days else later
        self._of_all = self._keys(sorted(spool.keys())) if across_days else None
        self._number = 0

    def _keys(self, days: list[dt.date]) -> pa.ChunkedArray[Any]:
        keys = [batch.column("event_key") for day in days for batch in self._spool.read(day)]
        return pa.chunked_array(keys, pa.string())

    def held(self, keys: Any) -> Any:
        """Whether each key is one of the pull's."""
        return pc.is_in(keys, self._all_keys)

    @cached_property
    def _all_keys(self) -> Any:
        keys = self._of_all if self._of_all is not None else self._keys(sorted(self._spool.keys()))
        return keys.combine_chunks()

    @contextlib.contextmanager
    def on(self, day: dt.date) -> Iterator[tuple[Choose, Choose]]:
        """What chooses the rows that stay of the table's, and then those that are written of the pull's."""
        keys = self._of_all if self._of_all is not None else self._keys([day])
        if self._of_all is None:
            self._number = 0
        last = _last_of_each(keys)
        held = keys.combine_chunks()
        stay: list[Any] = []

        def left(batch: pa.RecordBatch) -> pa.RecordBatch:
            if not len(held):
                return batch
            goes = pc.is_in(batch.column("event_key"), held)
            if self._later:
                stays = pc.and_(goes, _lie_in(self._later, batch))
                stay.append(batch.column("event_key").filter(stays))
                goes = pc.and_not(goes, stays)
            return batch.filter(pc.invert(goes))

        def new(batch: pa.RecordBatch) -> pa.RecordBatch:
            at, self._number = self._number, self._number + batch.num_rows
            if last is not None:
                batch = batch.filter(last.slice(at, batch.num_rows))
            if not stay:
                return batch
            written = batch.filter(pc.invert(pc.is_in(batch.column("event_key"), pa.concat_arrays(stay))))
            self.left_out += batch.num_rows - written.num_rows
            return written

        yield left, new


def _last_of_each(keys: pa.ChunkedArray[Any]) -> Any:
    """Whether each is the last of its like; ``None`` where all are."""
    if pc.count_distinct(keys).as_py() == len(keys):
        return None
    numbers = pa.table({"key": keys, "number": pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), len(keys)))})
    last = numbers.group_by("key").aggregate([("number", "max")])["number_max"].combine_chunks()
    return pc.is_in(numbers["number"], last).combine_chunks()


class Scoped:
    """A replacement: what the table holds for the scope goes, and all rows of the pull are written.

    Not where a later pull of the same has written.

    Args:
        scope: list, lookups and window.
        spool: the pull's rows by day.
        later: the windows of later pulls.
    """

    def __init__(self, scope: Scope, spool: Spool, later: Sequence[Window]) -> None:
        self.left_out = 0  # rows of the pull that were not written
        self._scope = scope
        self._spool = spool
        self._later = later
        self._pairs = None if scope.lookups is None else _pairs_of(scope)

    @contextlib.contextmanager
    def on(self, day: dt.date) -> Iterator[tuple[Choose, Choose]]:
        """What chooses the rows that stay of the table's, and those that are written of the pull's."""
        foreign = [batch.filter(self._is_foreign(batch)) for batch in self._spool.read(day)]
        # They are no part of the scope, but this or an earlier pull may have written them.
        again = pa.Table.from_batches([each for each in foreign if each.num_rows], SCHEMA)
        written = _identities(again).combine_chunks() if again.num_rows else None

        def left(batch: pa.RecordBatch) -> pa.RecordBatch:
            goes = self._holds(batch)
            if written is not None:
                goes = pc.or_(goes, pc.and_(self._is_foreign(batch), pc.is_in(_identities(batch), written)))
            return batch.filter(pc.invert(goes))

        def new(batch: pa.RecordBatch) -> pa.RecordBatch:
            if not self._later:
                return batch
            written = batch.filter(pc.or_(self._is_foreign(batch), pc.invert(_lie_in(self._later, batch))))
            self.left_out += batch.num_rows - written.num_rows
            return written

        yield left, new

    def _is_foreign(self, batch: pa.RecordBatch) -> Any:
        return pc.fill_null(pc.not_equal(batch.column("list_id"), self._scope.list_id), True)

    def _holds(self, batch: pa.RecordBatch) -> Any:
        """Whether each row is of the scope."""
        window = self._scope.window
        inside = between(batch.column("datetime"), window.start, window.end)
        if self._later:
            inside = pc.and_not(inside, _lie_in(self._later, batch))
        held = pc.and_(pc.invert(self._is_foreign(batch)), inside)
        if self._pairs is not None:
            held = pc.and_(held, pc.is_in(_joined(batch, "matching", "lookup"), self._pairs))
        return held


def _lie_in(windows: Sequence[Window], batch: pa.RecordBatch) -> Any:
    """Whether each row lies in one of the windows, of which there is one at least."""
    instants = batch.column("datetime")
    return reduce(pc.or_, (between(instants, window.start, window.end) for window in windows))


def _pairs_of(scope: Scope) -> pa.Array[Any]:
    """The scope's lookups as one array, made in slices: as Python's objects they would take much more."""
    assert scope.lookups is not None  # noqa: S101 - the caller saw to it
    chunks, some = [], []
    for pair in scope.lookups:
        some.append("\0".join(pair))
        if len(some) == _SLICE:
            chunks.append(pa.array(some, pa.string()))
            some = []
    chunks.append(pa.array(some, pa.string()))
    return pa.chunked_array(chunks, pa.string()).combine_chunks()


def _joined(rows: Any, *names: str) -> Any:
    return pc.binary_join_element_wise(*(rows.column(name) for name in names), "\0")


def _identities(rows: Any) -> Any:
    """What tells a row of one lookup from that of another."""
    columns = [pc.fill_null(rows.column(name), "\0") for name in ("event_key", "matching", "lookup")]
    return pc.binary_join_element_wise(*columns, "\0")
