"""The table of the docs: each row is a target that the conformance suite runs, with what the row says of it."""

from __future__ import annotations

import re
import tomllib
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.altcraft.targets import DeltaTarget, IcebergTarget, ObjectStorageTarget, resolve_target
from airflow_provider.altcraft.targets.dlt import DltTarget
from airflow_provider.altcraft.targets.sql import SqlTarget
from tests.integration.targets import test_clickhouse_conformance as clickhouse
from tests.integration.targets import test_conformance as suite

ROOT = Path(__file__).parents[3]

# For each row the classes of the suite, and the URIs that the row stands for.
RUN = {
    "`/path/a.parquet`, `file:///…`": ([suite.TestLocal], ["/path/a.parquet", "file:///path/a.parquet"]),
    "`s3://conn_id@bucket/a.parquet`": ([suite.TestS3], None),
    "`abfs://conn_id@container/a.parquet`": ([suite.TestAzure], None),
    "`gs://conn_id@bucket/a.parquet`": ([suite.TestGcs], None),
    "any of these with `{date}`": (
        [suite.TestLocalDays, suite.TestS3Days, suite.TestAzureDays, suite.TestGcsDays],
        ["/path/{date}.parquet"],
    ),
    "any of these ending in `/`": (
        [suite.TestLocalFolder, suite.TestS3Folder, suite.TestAzureFolder, suite.TestGcsFolder],
        ["/path/"],
    ),
    "`sql://conn_id/schema.table`": (
        [suite.TestPostgres, suite.TestMariaDB, suite.TestSqlite, suite.TestDuckDB, suite.TestDuckDBByCommunity],
        None,
    ),
    "the same with `?write_disposition=replace`": (
        [suite.TestPostgresReplace, suite.TestMariaDBReplace, suite.TestSqliteReplace, suite.TestDuckDBReplace],
        ["sql://conn_id/schema.table?write_disposition=replace"],
    ),
    "the same with `?write_disposition=append`": (
        [suite.TestPostgresAppend, suite.TestMariaDBAppend, suite.TestSqliteAppend, suite.TestDuckDBAppend],
        ["sql://conn_id/schema.table?write_disposition=append"],
    ),
    "`sql://conn_id/table` of a connection of type `clickhouse`": (
        [clickhouse.TestClickHouse],
        ["sql://conn_id/table"],
    ),
    "the same of `clickhouse` with `?write_disposition=replace`": (
        [clickhouse.TestClickHouseReplace],
        ["sql://conn_id/table?write_disposition=replace"],
    ),
    "`delta+s3://conn_id@bucket/table`, `delta+file:///…`": (
        [suite.TestDeltaLocal, suite.TestDeltaS3],
        ["delta+s3://conn_id@bucket/table", "delta+file:///path/table"],
    ),
    "`delta+abfs://conn_id@container/table`, `delta+gs://conn_id@bucket/table`": ([], None),
    "the same as `delta+…` with `?write_disposition=replace`": (
        [suite.TestDeltaLocalReplace],
        ["delta+file:///path/table?write_disposition=replace"],
    ),
    "`iceberg://conn_id/namespace.table`": ([suite.TestIcebergLocal, suite.TestIcebergS3], None),
    "the same as `iceberg://…` with `?write_disposition=replace`": (
        [suite.TestIcebergLocalReplace],
        ["iceberg://conn_id/namespace.table?write_disposition=replace"],
    ),
    "`dlt://conn_id/dataset.table`": ([suite.TestDltOnPostgres, suite.TestDltOnDuckDB], None),
}
TABLES: dict[str, Any] = {"sql": SqlTarget, "delta": DeltaTarget, "iceberg": IcebergTarget}
HOLDS = {
    "pull": ("the last pull", "the last pull, in parts"),
    "days": ("of each day, the last pull",),
    "scope": ("of each scope, the last pull",),
    "union": ("the union of all pulls by `event_key`",),
    "all": ("all pulls; a retry may double",),
}


def table() -> list[dict[str, str]]:
    """The rows of the page's first table by the names of their columns."""
    page = dropwhile(lambda line: not line.startswith("|"), (ROOT / "docs/targets.md").read_text().splitlines())
    lines = takewhile(lambda line: line.startswith("|"), page)
    names, line, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert line == ["---"] * len(names)
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_each_row_is_run() -> None:
    assert [row["URI"] for row in table()] == list(RUN)


@pytest.mark.parametrize("row", table(), ids=lambda row: row["URI"])
def test_a_row(row: dict[str, str]) -> None:
    classes, uris = RUN[row["URI"]]
    for each in classes:
        assert row["what it holds after a commit"] in HOLDS[each.keeps]
        assert ("each day " in row["a concurrent reader sees"]) == (each.at_once == "day")
        assert row["disposition"] == getattr(each, "disposition", "replace")
    for uri in uris or re.findall("`([^`]+)`", row["URI"]):
        target = resolve_target(uri)
        if uri.startswith(tuple(TABLES)):
            assert isinstance(target, TABLES[re.split("[:+]", uri)[0]])
            assert target.write_disposition == row["disposition"]
        else:
            assert isinstance(target, DltTarget if uri.startswith("dlt:") else ObjectStorageTarget)


def test_the_extras_are_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name for row in table() for name in re.findall("`([^`]+)`", row["extra"])}
    assert named <= set(extras)
    assert named == {
        "s3",
        "azure",
        "gcs",
        "postgres",
        "mysql",
        "sqlite",
        "duckdb",
        "clickhouse",
        "dlt",
        "delta",
        "iceberg",
    }
