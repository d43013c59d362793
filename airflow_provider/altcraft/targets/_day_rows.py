"""The rows of a day after a commit: which of the table's stay, and which of the pull's are added.

For tables whose days are read and replaced as a whole. ``MergeRows`` and ``ReplaceRows`` are the write dispositions:
each gives two filters of batches for a day, one for the table's rows and then one for the pull's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as _pc  # noqa: TID253 - the same

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets._masks import of_another_list, within
from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.targets._spool import Spool
from airflow_provider.altcraft.window import Window

pc: Any = _pc

Filter: TypeAlias = Callable[[pa.RecordBatch], pa.RecordBatch]

_SLICE = 100_000
"""Lookups made an array at once."""


def day_rows(disposition: str, scope: Scope, spool: Spool, later: Sequence[Window]) -> MergeRows | ReplaceRows:
    """Return the rows of a write disposition.

    Args:
        disposition: ``merge`` or ``replace``.
        scope: of the pull.
        spool: the pull's rows by day.
        later: the windows that later pulls of the same list and lookups have written.
    """
    if disposition == "replace":
        return ReplaceRows(scope, spool, later)
    return MergeRows(spool, later, across_days=scope.event_key_by == "event_id")


class MergeRows:
    """A merge: of each ``event_key`` the last row stays; in the windows of later pulls the table's row does.

    Args:
        spool: the pull's rows by day.
        later: the windows of later pulls. They do not count across days.
        across_days: whether an event may have moved to another day, as its key does not hold its instant.
    """

    def __init__(self, spool: Spool, later: Sequence[Window], *, across_days: bool) -> None:
        self.skipped = 0
        """Rows of the pull that were not written."""
        self._spool = spool
        self._later = () if across_days else later
        self._across_days = across_days
        self._position = 0  # of the pull's next row among those whose keys are compared

    @cached_property
    def _all_keys(self) -> Any:
        return self._keys(sorted(self._spool.keys()))

    @cached_property
    def _last_of_all(self) -> Any:
        numbers = [each for day in sorted(self._spool.keys()) for each in self._spool.numbers(day)]
        return _last_of_each(self._all_keys, pa.chunked_array(numbers, pa.int64()).combine_chunks())

    def _keys(self, days: Iterable[dt.date]) -> Any:
        keys = [batch.column("event_key") for day in days for batch in self._spool.read(day)]
        return pa.chunked_array(keys, pa.string()).combine_chunks()

    def pull_has(self, keys: Any) -> Any:
        """Mark the keys that the pull has on any day."""
        return pc.is_in(keys, self._all_keys)

    def filters(self, day: dt.date) -> tuple[Filter, Filter]:
        """Return the filters of a day; the days come in their order, and the table's rows before the pull's."""
        if self._across_days:
            keys, last = self._all_keys, self._last_of_all
        else:
            keys, self._position = self._keys([day]), 0
            last = _last_of_each(keys)
        newer: list[Any] = []  # keys whose row in the table is of a later pull

        def stays(batch: pa.RecordBatch) -> pa.RecordBatch:
            if not len(keys):
                return batch
            replaced = pc.is_in(batch.column("event_key"), keys)
            if self._later:
                overtaken = pc.and_(replaced, within(batch, self._later))
                newer.append(batch.column("event_key").filter(overtaken))
                replaced = pc.and_not(replaced, overtaken)
            return batch.filter(pc.invert(replaced))

        def added(batch: pa.RecordBatch) -> pa.RecordBatch:
            start, self._position = self._position, self._position + batch.num_rows
            if last is not None:
                batch = batch.filter(last.slice(start, batch.num_rows))
            if not newer:
                return batch
            rows = batch.filter(pc.invert(pc.is_in(batch.column("event_key"), pa.concat_arrays(newer))))
            self.skipped += batch.num_rows - rows.num_rows
            return rows

        return stays, added


def _last_of_each(keys: Any, numbers: Any = None) -> Any:
    """Mark the last of equal keys, by their numbers or as they stand; ``None`` where no two are equal."""
    if _all_differ(keys):
        return None
    if numbers is None:
        numbers = pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), len(keys)))
    grouped = pa.table({"key": keys, "number": numbers}).group_by("key")
    last = grouped.aggregate([("number", "max")])["number_max"].combine_chunks()
    return pc.is_in(numbers, last)


def _all_differ(keys: Any) -> bool:
    """Return whether no two keys are equal; sorted, they take a fraction of what a table of their hashes takes."""
    ordered = keys.take(pc.sort_indices(keys))
    return not pc.any(pc.equal(ordered[1:], ordered[:-1])).as_py()


class ReplaceRows:
    """A replacement: the table's rows of the scope go, and the pull's are added; not in the windows of later pulls.

    Args:
        scope: list, lookups and window.
        spool: the pull's rows by day.
        later: the windows of later pulls.
    """

    def __init__(self, scope: Scope, spool: Spool, later: Sequence[Window]) -> None:
        self.skipped = 0
        """Rows of the pull that were not written."""
        self._scope = scope
        self._spool = spool
        self._later = later
        self._lookups = None if scope.lookups is None else _lookups_of(scope.lookups)

    def filters(self, day: dt.date) -> tuple[Filter, Filter]:
        """Return the filters of a day."""
        foreign = [batch.filter(self._is_foreign(batch)) for batch in self._spool.read(day)]
        # They are no part of the scope, but this or an earlier pull may have written them.
        again = pa.Table.from_batches([each for each in foreign if each.num_rows], SCHEMA)
        written_again = _identities(again).combine_chunks() if again.num_rows else None

        def stays(batch: pa.RecordBatch) -> pa.RecordBatch:
            replaced = self._is_in_scope(batch)
            if written_again is not None:
                same = pc.is_in(_identities(batch), written_again)
                replaced = pc.or_(replaced, pc.and_(self._is_foreign(batch), same))
            return batch.filter(pc.invert(replaced))

        def added(batch: pa.RecordBatch) -> pa.RecordBatch:
            if not self._later:
                return batch
            rows = batch.filter(pc.or_(self._is_foreign(batch), pc.invert(within(batch, self._later))))
            self.skipped += batch.num_rows - rows.num_rows
            return rows

        return stays, added

    def _is_foreign(self, batch: pa.RecordBatch) -> Any:
        return of_another_list(batch, self._scope.list_id)

    def _is_in_scope(self, batch: pa.RecordBatch) -> Any:
        """Mark the rows that the pull replaces: those of the scope, but in the windows of later pulls."""
        inside = within(batch, [self._scope.window])
        if self._later:
            inside = pc.and_not(inside, within(batch, self._later))
        inside = pc.and_(pc.invert(self._is_foreign(batch)), inside)
        if self._lookups is not None:
            inside = pc.and_(inside, pc.is_in(_joined(batch.column("matching"), batch.column("lookup")), self._lookups))
        return inside


def _lookups_of(pairs: Iterable[tuple[str, str]]) -> Any:
    """Return the lookups as one array, made in slices: as Python's objects they would take much more."""
    chunks, some = [], []
    for pair in pairs:
        some.append("\0".join(pair))
        if len(some) == _SLICE:
            chunks.append(pa.array(some, pa.string()))
            some = []
    chunks.append(pa.array(some, pa.string()))
    return pa.chunked_array(chunks, pa.string()).combine_chunks()


def _identities(rows: Any) -> Any:
    """Return a text for each row that tells it from all others, those of the same event by another lookup included."""
    return _joined(*(pc.fill_null(rows.column(name), "\0") for name in ("event_key", "matching", "lookup")))


def _joined(*columns: Any) -> Any:
    return pc.binary_join_element_wise(*columns, "\0")
