"""Rows for the tests of targets."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa

from airflow_provider.altcraft.schema import SCHEMA


def make_batch(rows: int, start: int = 0, **columns: Any) -> pa.RecordBatch:
    """A batch whose rows differ, each column of which can be set."""
    first = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    return pa.RecordBatch.from_pylist(
        [
            {
                "list_id": 1,
                "action": "open",
                "count": 1,
                "datetime": first + dt.timedelta(seconds=i, microseconds=i % 7),
                "email": f"{i}@example.com" if i % 3 else None,
                "message_name": f"Письмо «{i % 100}»",
                "event_key": f"{i * 2654435761 % 2**128:032x}",
                "extra": '{"a": 1}',
                **columns,
            }
            for i in range(start, start + rows)
        ],
        schema=SCHEMA,
    )
