"""Masks over the rows of a batch: the rows of another list, and the rows within windows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as _pc  # noqa: TID253 - the same

from airflow_provider.altcraft._arrow import between, flag_array, integer_array
from airflow_provider.altcraft.window import Window

pc: Any = _pc


def of_another_list(batch: pa.RecordBatch, list_id: int) -> Any:
    """Mark the rows whose ``list_id`` is another one, or missing."""
    other = pc.not_equal(batch.column("list_id"), integer_array([list_id])[0])
    return pc.fill_null(other, flag_array([True])[0])


def within(batch: pa.RecordBatch, windows: Iterable[Window]) -> Any:
    """Mark the rows that lie in one of the windows."""
    instants = batch.column("datetime")
    inside = (between(instants, window.start, window.end) for window in windows)
    return reduce(pc.or_, inside, flag_array([False] * batch.num_rows))
