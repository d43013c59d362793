"""The row: one event of a profile's history as every target gets it, its Arrow schema and its ``event_key``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import pyarrow as pa  # noqa: TID253 - whoever imports the schema is about to move Arrow batches

from airflow_provider.altcraft.client import HistoryEvent

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

# What comes straight from the event; the rest is computed.
_SENT = (
    "xxh",
    "profile_id",
    "email",
    "action",
    "count",
    "datetime",
    "message_id",
    "message_name",
    "campaign_id",
    "campaign_name",
    "smid",
    "event_id",
)


class RowBuffer:
    """Gathers rows column by column and hands them out as one Arrow batch."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}

    def __len__(self) -> int:
        """Rows gathered."""
        return len(self._columns["event_key"])

    def add(self, events: Sequence[HistoryEvent], *, list_id: int, matching: str, lookup: str) -> None:
        """Add the events of one answer.

        Args:
            events: all that the answer holds for the window; their order does not matter, rows are sorted by time.
            list_id: the database that was asked, for rows that do not name theirs.
            matching: by which mode the profile was looked up.
            lookup: the value it was looked up by.
        """
        columns = self._columns
        for key, extra, event in _keyed(events, list_id):
            for name in _SENT:
                columns[name].append(getattr(event, name))
            columns["list_id"].append(list_id if event.list_id is None else event.list_id)
            columns["channel"].append(event.known_channel)
            columns["event_key"].append(key)
            columns["matching"].append(matching)
            columns["lookup"].append(lookup)
            columns["extra"].append(extra)

    def flush(self) -> pa.RecordBatch:
        """All rows as one batch of ``SCHEMA``; the buffer is empty afterwards."""
        columns, self._columns = self._columns, {name: [] for name in COLUMNS}
        return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def _keyed(events: Iterable[HistoryEvent], list_id: int) -> list[tuple[str, str | None, HistoryEvent]]:
    """Each event with its ``event_key`` and ``extra``, in an order that depends on nothing but the events."""
    rows = sorted(
        ((event.datetime, _identity(event, list_id), _extra(event) or "", event.count, event) for event in events),
        key=lambda row: row[:4],
    )
    seen: Counter[str] = Counter()
    keyed = []
    for _, identity, extra, _, event in rows:
        # Two real events may be alike in everything: the ordinal keeps them two.
        key = blake2b(f"{identity}{seen[identity]}".encode(), digest_size=16).hexdigest()
        seen[identity] += 1
        keyed.append((key, extra or None, event))
    return keyed


def _identity(event: HistoryEvent, list_id: int) -> str:
    return json.dumps(
        [
            event.event_id,
            list_id if event.list_id is None else event.list_id,
            event.xxh or event.profile_id,
            event.action,
            event.datetime.isoformat(timespec="microseconds"),
            event.message_id,
            event.campaign_id,
            event.smid,
        ]
    )


def _extra(event: HistoryEvent) -> str | None:
    """Every field without a column, as a JSON object with sorted keys; ``None`` where there is none."""
    sent = {"subscription": event.subscription, "subscriptions": event.subscriptions}
    extra = {key: value for key, value in sent.items() if value is not None} | (event.model_extra or {})
    return json.dumps(extra, ensure_ascii=False, separators=(",", ":"), sort_keys=True) if extra else None


def with_keys(events: Iterable[HistoryEvent], *, list_id: int) -> list[tuple[str, HistoryEvent]]:
    """Each event with its ``event_key``, by time.

    Args:
        events: all that an answer holds at each moment they are of: events alike in everything are told apart by their
            number there.
        list_id: the database that was asked, for rows that do not name theirs.
    """
    return [(key, event) for key, _, event in _keyed(events, list_id)]
