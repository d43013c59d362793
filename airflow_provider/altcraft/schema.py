"""The row: one event of a profile's history as every target gets it, its Arrow schema and its ``event_key``."""

from __future__ import annotations

import pyarrow as pa  # noqa: TID253 - whoever imports the schema is about to move Arrow batches

_UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema([
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
])
"""One row an event. ``datetime`` is UTC in microseconds; ``extra`` is a JSON object of every field without a column."""

COLUMNS: tuple[str, ...] = tuple(SCHEMA.names)
