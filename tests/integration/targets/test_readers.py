"""What is written, as pyarrow's datasets, DuckDB, polars and pandas read it."""

from __future__ import annotations

import datetime as dt

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope
from airflow_provider.altcraft.window import Window

SCOPE = Scope(1, None, Window.of("2024-01-01", "2024-01-02"))
DAY = 86_400
# What a target takes, what datasets and pandas take, and what takes a pattern.
SHAPES = {
    "object": ("a.parquet", "a.parquet", "a.parquet"),
    "days": ("lake/date={date}/a.parquet", "lake", "lake/*/a.parquet"),
    "parts": ("parts/", "parts", "parts/part-*.parquet"),
}


def by_dataset(place: str, pattern: str) -> pa.Table:
    return ds.dataset(place, partitioning="hive").to_table()


def by_duckdb(place: str, pattern: str) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = "SELECT * FROM read_parquet($1, hive_partitioning = true)"
        return connection.sql(query, params=[pattern]).to_arrow_table()


def by_polars(place: str, pattern: str) -> pa.Table:
    return pl.read_parquet(pattern, hive_partitioning=True).to_arrow()


def by_pandas(place: str, pattern: str) -> pa.Table:
    return pa.Table.from_pandas(pd.read_parquet(place, dtype_backend="pyarrow"), preserve_index=False)


@pytest.mark.parametrize("read", [by_dataset, by_duckdb, by_polars, by_pandas])
@pytest.mark.parametrize("rows", [(0, 0), (40, 0), (40, 25)], ids=["nothing", "a day without", "some"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_reader_finds_what_was_written(shape, rows, read, batch, tmp_path):
    path, place, pattern = (f"{tmp_path}/{each}" for each in SHAPES[shape])
    sent = [batch(count, start=day * DAY) for day, count in enumerate(rows)]
    writer = ObjectStorageTarget(path, **({"part_rows": 15} if shape == "parts" else {})).open(SCOPE)
    for each in sent:
        writer.write(each)
    writer.commit()
    found = read(place, pattern)
    assert found.column_names == SCHEMA.names + (["date"] if shape == "days" else [])
    if shape == "days":
        days = [str(day) for day in found["date"].to_pylist()]
        assert days == [str(at.astimezone(dt.UTC).date()) for at in found["datetime"].to_pylist()]
    found = found.select(SCHEMA.names).cast(SCHEMA).sort_by("datetime")
    assert found.equals(pa.Table.from_batches(sent).sort_by("datetime"))


@pytest.mark.parametrize("shape", SHAPES)
def test_sparks_conventions(shape, batch, tmp_path):
    """It passes over names that begin with ``_`` or ``.``, and finds the same columns in every file."""
    path, place, _ = (f"{tmp_path}/{each}" for each in SHAPES[shape])
    writer = ObjectStorageTarget(path).open(SCOPE)
    writer.write(batch(20))
    assert writer.keep_failures([{"lookup": {"email": "a@example.com"}, "error": "no"}])
    writer.commit()
    files = [each for each in tmp_path.rglob("*") if each.is_file() and not each.name.startswith(("_", "."))]
    files = [each for each in files if shape != "object" or str(each) == place]  # there a file is named, not a folder
    assert {each.suffix for each in files} == {".parquet"}
    assert len(files) == (2 if shape == "days" else 1)
    for each in files:
        assert pq.read_schema(each).equals(SCHEMA)
