"""dlt with its REST client, parallelized, as Arrow tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa  # noqa: TID253 - imported before the clock starts

from benchmarks.contenders._dlt import load, prepare
from benchmarks.job import Job, arrow_schema, flat

SCHEMA = arrow_schema()


__all__ = ["prepare", "run"]


def run(job: Job) -> None:
    """Pull and write."""
    load(job, _table)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([flat(row) for row in rows], schema=SCHEMA)
