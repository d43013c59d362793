"""The row: one event of a profile's history as every target gets it, its Arrow schema and its ``event_key``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

import msgspec
import pyarrow as pa  # noqa: TID253 - every module that imports the schema moves Arrow batches

from airflow_provider.altcraft._arrow import instant_array, integer_array, text_arrays
from airflow_provider.altcraft.client import FatalError, HistoryEvent
from airflow_provider.altcraft.client._json import encode_sorted

_UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

_FIELDS: list[pa.Field[Any]] = [
    pa.field("list_id", pa.int64()),
    pa.field("xxh", pa.string()),
    pa.field("profile_id", pa.string()),
    pa.field("email", pa.string()),
    pa.field("action", pa.string(), nullable=False),
    pa.field("channel", pa.string()),
    pa.field("count", pa.int64(), nullable=False),
    pa.field("datetime", _UTC_MICROSECONDS, nullable=False),
    pa.field("message_id", pa.int64()),
    pa.field("message_name", pa.string()),
    pa.field("campaign_id", pa.int64()),
    pa.field("campaign_name", pa.string()),
    pa.field("smid", pa.string()),
    pa.field("event_id", pa.string()),
    pa.field("event_key", pa.string(), nullable=False),
    pa.field("matching", pa.string()),
    pa.field("lookup", pa.string()),
    pa.field("extra", pa.string()),
]

SCHEMA = pa.schema(_FIELDS)
"""One row an event. ``datetime`` is UTC in microseconds; ``extra`` is a JSON object of every field without a column."""

COLUMNS: tuple[str, ...] = tuple(SCHEMA.names)
"""The names of the columns, in order."""

TEXTS = tuple(field.name for field in SCHEMA if pa.types.is_string(field.type))
"""Columns of texts."""
INTEGERS = tuple(field.name for field in SCHEMA if pa.types.is_integer(field.type))
"""Columns of whole numbers."""

KeyBy: TypeAlias = Literal["row", "event_id"]
"""The source of an ``event_key``: the fields of a row, or its ``event_id`` alone where it has one."""

KEY = 32
"""Characters of an ``event_key``."""

_FIRST = blake2b(b"0", digest_size=16)  # a copy costs less than a new one
_JSON = msgspec.json.Encoder()

_COMPUTED = {"list_id", "channel", "event_key", "matching", "lookup", "extra"}
_SENT = tuple(name for name in COLUMNS if name not in _COMPUTED)
"""The columns that come straight from the event."""


def check_schema(batch: pa.RecordBatch) -> None:
    """Refuse a batch of another schema than ``SCHEMA``.

    Raises:
        ValueError: it has another schema.
    """
    if not batch.schema.equals(SCHEMA):
        raise ValueError(f"batch: expected one of schema.SCHEMA, got one of this schema:\n{batch.schema}")


class RowBuffer:
    """Collects rows and returns them as one Arrow batch."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._rows

    def add(self, events: Sequence[HistoryEvent], *, list_id: int, matching: str, lookup: str) -> None:
        """Add the events of one answer; see ``batch_of_events``."""
        self.extend(batch_of_events(events, list_id=list_id, matching=matching, lookup=lookup))

    def extend(self, batch: pa.RecordBatch) -> None:
        """Add a batch of rows."""
        if batch.num_rows:
            self._batches.append(batch)
            self._rows += batch.num_rows

    def flush(self) -> pa.RecordBatch:
        """Return all rows as one batch of ``SCHEMA``, and empty the buffer."""
        batches, self._batches, self._rows = self._batches, [], 0
        if not batches:
            return empty_batch()
        (whole,) = pa.Table.from_batches(batches, SCHEMA).combine_chunks().to_batches()
        return whole


def batch_of_events(
    events: Sequence[HistoryEvent],
    *,
    list_id: int,
    matching: str | None,
    lookup: str | None,
    seen: Counts | None = None,
    by: KeyBy = "row",
) -> pa.RecordBatch:
    """Return the rows of one answer, sorted by time.

    Args:
        events: all that the answer holds for the window; their order does not matter.
        list_id: the database that was asked, for rows that do not name theirs.
        matching: by which mode the profile was looked up; ``None`` where none was.
        lookup: the value it was looked up by.
        seen: see ``keys_of``.
        by: see ``identities_of``.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for key, extra, event in _keyed(events, list_id, seen, by):
        for name in _SENT:
            columns[name].append(getattr(event, name))
        columns["list_id"].append(list_id if event.list_id is None else event.list_id)
        columns["channel"].append(event.known_channel)
        columns["event_key"].append(key)
        columns["matching"].append(matching)
        columns["lookup"].append(lookup)
        columns["extra"].append(extra)
    return batch_of_columns(columns)


def batch_of_columns(columns: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
    """Return a batch of ``SCHEMA`` from columns of Python values, all of equal length."""
    arrays = dict(zip(TEXTS, text_arrays([columns[name] for name in TEXTS]), strict=True))
    arrays |= {name: integer_array(columns[name]) for name in INTEGERS}
    return batch_of(arrays | {"datetime": instant_array(columns["datetime"])})


def empty_batch() -> pa.RecordBatch:
    """Return a batch of ``SCHEMA`` without rows."""
    return batch_of({field.name: pa.nulls(0, field.type) for field in SCHEMA})


def batch_of(arrays: Mapping[str, pa.Array[Any]]) -> pa.RecordBatch:
    """Return a batch of ``SCHEMA`` from Arrow arrays of its types."""
    return pa.RecordBatch.from_arrays([arrays[name] for name in COLUMNS], schema=SCHEMA)


class Counts(dict[bytes, int]):
    """The number of events of each identity."""

    def none_of(self, identities: Collection[bytes]) -> bool:
        """Return whether none of these identities was counted."""
        return self.keys().isdisjoint(identities)


def keys_of(identities: Sequence[bytes], seen: Counts | None = None, by: KeyBy = "row") -> list[str]:
    """Return the ``event_key`` of each event of one answer, in order.

    Two real events may be equal in all fields: their ordinals make their keys differ. An ``event_id`` is unique and
    needs no ordinal; keys of these begin with an ``i``, which tells the kinds apart in a table.

    Args:
        identities: of the events.
        seen: the number of events of each identity in earlier parts of the answer; these events are added to it.
        by: see ``identities_of``.
    """
    if by == "event_id":
        others = iter(keys_of([identity for identity in identities if not _is_id(identity)], seen))
        return [_id_key(identity) if _is_id(identity) else next(others) for identity in identities]
    counts = Counts() if seen is None else seen
    alone = dict.fromkeys(identities, 1)
    keys = []
    if len(alone) == len(identities) and counts.none_of(alone):  # as nearly always
        counts.update(alone)
        for identity in identities:
            digest = _FIRST.copy()
            digest.update(identity)
            keys.append(digest.hexdigest())
        return keys
    for identity in identities:
        ordinal = counts.get(identity, 0)
        counts[identity] = ordinal + 1
        keys.append(blake2b(b"%d%b" % (ordinal, identity), digest_size=16).hexdigest())
    return keys


def _is_id(identity: bytes) -> bool:
    return identity.startswith(b'"')


def _id_key(identity: bytes) -> str:
    return f"i{blake2b(identity, digest_size=16).hexdigest()[1:]}"


def last_of_each(identities: Sequence[bytes], stamps: Sequence[str], actions: Sequence[str]) -> list[int]:
    """Return the indexes of the rows to keep: of those with the same ``event_id`` only the last.

    Raises:
        FatalError: two different events have the same ``event_id``.
    """
    last: dict[object, int] = {}
    for index, identity in enumerate(identities):
        before = last.get(identity) if _is_id(identity) else None
        if before is not None and (stamps[before], actions[before]) != (stamps[index], actions[index]):
            raise FatalError(
                f"event_key_by='event_id': two events of one answer have the event_id {identity.decode()}, so it is "
                f"not unique here; use event_key_by='row'"
            )
        last[identity if _is_id(identity) else index] = index
    return sorted(last.values())


def _keyed(
    events: Iterable[HistoryEvent], list_id: int, seen: Counts | None, by: KeyBy
) -> list[tuple[str, str | None, HistoryEvent]]:
    """Return each event with its ``event_key`` and ``extra``, in an order that depends only on the events."""
    rows = sorted(
        (
            (event.datetime, identity_of(event, list_id, by), _extra(event) or "", event.count, event)
            for event in events
        ),
        key=lambda row: row[:4],
    )
    if by == "event_id":
        stamps, actions = [stamp_of(row[0]) for row in rows], [row[4].action for row in rows]
        rows = [rows[index] for index in last_of_each([row[1] for row in rows], stamps, actions)]
    keys = keys_of([identity for _, identity, _, _, _ in rows], seen, by)
    return [(key, extra or None, event) for key, (_, _, extra, _, event) in zip(keys, rows, strict=True)]


def identity_of(event: HistoryEvent, list_id: int, by: KeyBy = "row") -> bytes:
    """Return the identity of an event, which equal events share; ``list_id`` is that of events that name none."""
    base = list_id if event.list_id is None else event.list_id
    (identity,) = identities_of(
        [event.event_id],
        [base],
        [event.xxh or event.profile_id],
        [event.action],
        [stamp_of(event.datetime)],
        [event.message_id],
        [event.campaign_id],
        [event.smid],
        by=by,
    )
    return identity


def identities_of(*columns: Sequence[Any], by: KeyBy = "row") -> list[bytes]:
    """Return the identities of many events at once.

    Args:
        columns: ``event_id``, ``list_id``, whose (``xxh``, else ``profile_id``), ``action``, the instant's
            ``stamp_of``, ``message_id``, ``campaign_id``, ``smid``.
        by: ``row`` for all of these; ``event_id`` for that alone in rows that have one.
    """
    rows: list[Any] = list(zip(*columns, strict=True))
    return _JSON.encode_lines([row[0] or row for row in rows] if by == "event_id" else rows).splitlines()


def stamp_of(instant: dt.datetime) -> str:
    """Return an instant of UTC as a text that sorts by time."""
    return f"{instant.isoformat(timespec='microseconds')[:26]}Z"


def _extra(event: HistoryEvent) -> str | None:
    """Return the fields without a column as a JSON object with sorted keys; ``None`` where there are none."""
    sent = {"subscription": event.subscription, "subscriptions": event.subscriptions}
    extra = {key: value for key, value in sent.items() if value is not None} | (event.model_extra or {})
    return encode_sorted(extra) if extra else None


def with_keys(events: Iterable[HistoryEvent], *, list_id: int, by: KeyBy = "row") -> list[tuple[str, HistoryEvent]]:
    """Return each event with its ``event_key``, by time.

    Args:
        events: all that an answer holds at each moment they are of: events alike in everything are distinguished by
            their number there.
        list_id: the database that was asked, for rows that do not name theirs.
        by: see ``identities_of``.
    """
    return [(key, event) for key, _, event in _keyed(events, list_id, None, by)]
