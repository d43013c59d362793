"""Batches of rows, lookups and samples for a session to write."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time

from airflow_provider.altcraft._arrow import integer_array, text_arrays
from airflow_provider.altcraft.schema import COLUMNS, SCHEMA, batch_of_columns
from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.window import Window

ROWS = 10_000
"""Rows that are sent at once."""

LISTED = 500
"""Values in one ``IN``; some databases take no more than 1000."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

LOOKUP = ("matching", "lookup")
IDENTITY = ("event_key", *LOOKUP)
NEWS = tuple(name for name in COLUMNS if name != "event_key")
"""The columns that a merge updates."""

_NOBODY = ("email", "altcraft@example.invalid")
_LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_LAST = dt.datetime.max.replace(microsecond=0, tzinfo=dt.UTC)


def rows(batch: pa.RecordBatch, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Return a batch's rows, with instants as texts in UTC that sort by time."""
    found = [batch.column(name) for name in columns]
    texts = [
        each.cast(pa.timestamp("us")).cast(pa.string()) if pa.types.is_timestamp(each.type) else each for each in found
    ]
    return zip(*(each.to_pylist() for each in texts), strict=True)


def slices(batches: Iterable[pa.RecordBatch], most: int = ROWS) -> Iterator[pa.RecordBatch]:
    """Cut batches into slices of at most ``most`` rows."""
    for batch in batches:
        for at in range(0, batch.num_rows, most):
            yield batch.slice(at, most)


def numbered(batches: Iterable[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
    """Add a column of row numbers to batches."""
    at = 0
    for batch in batches:
        numbers = integer_array(range(at, at + batch.num_rows))
        at += batch.num_rows
        yield pa.RecordBatch.from_arrays([*batch.columns, numbers], names=[*batch.schema.names, name])


def lookups(pairs: Iterable[tuple[str, str]]) -> Iterator[pa.RecordBatch]:
    """Yield pairs of ``matching`` and ``lookup`` as batches."""
    schema = pa.schema([SCHEMA.field(name) for name in LOOKUP])
    each = iter(pairs)
    while some := list(islice(each, ROWS)):
        columns = zip(*some, strict=True)
        yield pa.RecordBatch.from_arrays(text_arrays(list(columns)), schema=schema)


def nowhere(scope: Scope) -> Scope:
    """Return a scope of the same form that holds no row."""
    at = scope.window.start or scope.window.end or _LONG_AGO
    return Scope(scope.list_id, None if scope.lookups is None else [_NOBODY], Window(at, at))


def samples(scope: Scope) -> list[pa.RecordBatch]:
    """Return two versions of a sample row of the scope: an earlier one and its replacement."""
    matching, lookup = (None, None) if scope.lookups is None else _NOBODY
    row: dict[str, Any] = {
        "list_id": scope.list_id,
        "action": "send",
        "datetime": _moment(scope),
        "event_key": uuid.uuid4().hex,
    }
    row |= {"matching": matching, "lookup": lookup, "extra": "{}"}
    return [batch_of_columns({name: [(row | {"count": count}).get(name)] for name in COLUMNS}) for count in (1, 2)]


def around(scope: Scope) -> Scope:
    """Return a scope of the same form with the samples and, for a whole database, all events of their microsecond."""
    at = _moment(scope)
    window = Window(at, at + dt.timedelta(microseconds=1))
    return Scope(scope.list_id, None if scope.lookups is None else [_NOBODY], window)


def _moment(scope: Scope) -> dt.datetime:
    return min(scope.window.start or scope.window.end or _LONG_AGO, _LAST)
