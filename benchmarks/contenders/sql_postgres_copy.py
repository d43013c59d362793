"""The provider's SqlTarget into PostgreSQL, from batches in memory: COPY, then an upsert."""

from __future__ import annotations

import pyarrow as pa  # noqa: TID253 - imported before the clock starts
from airflow.providers.postgres.hooks.postgres import PostgresHook  # noqa: F401 - the same

from airflow_provider.altcraft.targets import Scope, resolve_target
from benchmarks.contenders._parts import WINDOW, batches
from benchmarks.job import Job

prepare = batches


def run(job: Job, made: list[pa.RecordBatch]) -> None:
    """Write."""
    writer = resolve_target(f"sql://bench_postgres/{job.postgres}").open(Scope(1, None, WINDOW))
    for batch in made:
        writer.write(batch)
    writer.commit()
