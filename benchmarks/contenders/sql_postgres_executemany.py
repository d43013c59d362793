"""psycopg's ``executemany`` into PostgreSQL, from batches in memory: the same upsert into a table alike."""

from __future__ import annotations

import psycopg
import pyarrow as pa  # noqa: TID253 - imported before the clock starts

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from benchmarks.contenders._parts import batches
from benchmarks.job import Job
from benchmarks.measure import POSTGRES

prepare = batches


def run(job: Job, made: list[pa.RecordBatch]) -> None:
    """Write, in one transaction."""
    types = {pa.int64(): "bigint", pa.string(): "text"}
    columns = ", ".join(
        f"{field.name} {types.get(field.type, 'timestamptz')}{'' if field.nullable else ' NOT NULL'}"
        for field in SCHEMA
    )
    updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS if name != "event_key")
    insert = (
        f"INSERT INTO {job.postgres} ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))}) "
        f"ON CONFLICT (event_key) DO UPDATE SET {updates}"
    )
    with psycopg.connect(POSTGRES) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {job.postgres} ({columns}, PRIMARY KEY (event_key))")
        cursor.execute(f"CREATE INDEX ON {job.postgres} (list_id, datetime)")
        for batch in made:
            cursor.executemany(insert, zip(*(column.to_pylist() for column in batch.columns), strict=True))
