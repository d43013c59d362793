"""psycopg's ``executemany`` into PostgreSQL, from batches in memory: the same upsert into a table alike."""

from __future__ import annotations

import psycopg
import pyarrow as pa  # noqa: TID253 - imported before the clock starts

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from benchmarks.contenders._parts import batches
from benchmarks.job import Job
from benchmarks.measure import POSTGRES

prepare = batches


def make_table(job: Job) -> None:
    """A table as the provider makes it."""
    types = {pa.int64(): "bigint", pa.string(): "text"}
    columns = ", ".join(
        f"{field.name} {'json' if field.name == 'extra' else types.get(field.type, 'timestamptz')}"
        f"{'' if field.nullable else ' NOT NULL'}"
        for field in SCHEMA
    )
    with psycopg.connect(POSTGRES) as connection:
        connection.execute(f"CREATE TABLE {job.postgres} ({columns}, PRIMARY KEY (event_key))")
        connection.execute(f"CREATE INDEX ON {job.postgres} (list_id, datetime)")


def run(job: Job, made: list[pa.RecordBatch]) -> None:
    """Write, in one transaction."""
    make_table(job)
    updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS if name != "event_key")
    insert = (
        f"INSERT INTO {job.postgres} ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))}) "
        f"ON CONFLICT (event_key) DO UPDATE SET {updates}"
    )
    with psycopg.connect(POSTGRES) as connection, connection.cursor() as cursor:
        for batch in made:
            cursor.executemany(insert, zip(*(column.to_pylist() for column in batch.columns), strict=True))
