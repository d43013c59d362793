"""Airflow's ``PostgresHook.insert_rows`` into PostgreSQL, from batches in memory: the same upsert into a table alike.

It runs ``executemany`` for each thousand rows, and commits each.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa  # noqa: TID253 - imported before the clock starts
from airflow.providers.postgres.hooks.postgres import PostgresHook

from airflow_provider.altcraft.schema import COLUMNS
from benchmarks.contenders._parts import batches
from benchmarks.contenders.sql_postgres_executemany import make_table
from benchmarks.job import Job

prepare = batches


def run(job: Job, made: list[pa.RecordBatch]) -> None:
    """Write."""
    make_table(job)
    rows = (row for batch in made for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))
    hook: Any = PostgresHook("bench_postgres")
    hook.insert_rows(job.postgres, rows, target_fields=list(COLUMNS), replace=True, replace_index="event_key")
