"""What an operator tells of its output."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset
from openlineage.client.naming import dataset as naming

from airflow_provider.altcraft.operators._lineage import _asset_of, dataset_of
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.testing import Emulator


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    altcraft_api.add_event("ann@example.com", "open", at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    return altcraft_api


def test_openlineage_and_outlets(api: Emulator, tmp_path: Path) -> None:
    outlet = Asset("s3://lake/history")
    operator = AltcraftHistoryOperator(
        task_id="pull", profiles="ann@example.com", target=str(tmp_path / "a.parquet"), outlets=[outlet]
    )
    assert operator.get_openlineage_facets_on_complete(None) is None
    events: Any = defaultdict(lambda: SimpleNamespace(extra={"mine": 1}))
    result = operator.execute({"outlet_events": events})
    assert events[outlet].extra == {
        "mine": 1, "rows": 1, "profiles": 1, "window": {"start": None, "end": None},
    }  # fmt: skip
    (output,) = operator.get_openlineage_facets_on_complete(None).outputs
    assert (output.namespace, output.name) == ("file", str(tmp_path / "a.parquet"))
    assert tuple(field.name for field in output.facets["schema"].fields) == COLUMNS
    statistics = output.outputFacets["outputStatistics"]
    assert (statistics.rowCount, statistics.size) == (1, result["bytes"])


def test_a_failure_to_tell_does_not_fail_the_task(api: Emulator, tmp_path: Path, caplog: Any) -> None:
    operator = AltcraftHistoryOperator(
        task_id="pull", profiles="ann@example.com", target=str(tmp_path / "a.parquet"), outlets=[Asset("s3://a/b")]
    )
    broken: Any = {"outlet_events": {}}
    assert operator.execute(broken)["rows"] == 1
    assert "could not be reported: KeyError" in caplog.text


CONNECTIONS = {
    "pg": {"conn_type": "postgres", "host": "db.example.com", "login": "me", "password": "s3cr3t", "schema": "crm"},
    "my": {"conn_type": "mysql", "host": "db.example.com", "login": "me", "password": "s3cr3t", "schema": "crm"},
    "lite": {"conn_type": "sqlite", "host": "/a/b.db"},
    "duck": {"conn_type": "duckdb", "host": "/a/b.duckdb"},
    "az": {"conn_type": "wasb", "login": "shop", "password": "a2V5", "extra": {"account_name": "shop"}},
}


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, connection in CONNECTIONS.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))


def named(dataset: naming.DatasetNaming) -> tuple[str, str]:
    """As OpenLineage's own client names it."""
    return dataset.get_namespace(), dataset.get_name()


DATABASE: Any = {"host": "db.example.com", "port": "5432", "database": "crm"}
NAMES = {
    "file:///a/b.parquet": named(naming.LocalFileSystem(path="/a/b.parquet")),
    "s3://conn@bucket/a/b.parquet": named(naming.S3(bucket_name="bucket", object_key="a/b.parquet")),
    "s3a://conn@bucket/a/b.parquet": named(naming.S3(bucket_name="bucket", object_key="a/b.parquet")),
    # A folder of parts is one dataset, by its folder.
    "file:///a/parts/_manifest.json": named(naming.LocalFileSystem(path="/a/parts")),
    "s3://conn@bucket/a/parts/_manifest.json": named(naming.S3(bucket_name="bucket", object_key="a/parts")),
    "s3://conn@bucket/_manifest.json": ("s3://bucket", "/"),
    "abfs://az@lake/a/parts/_manifest.json": named(naming.ABFSS(container="lake", service="shop", path="a/parts")),
    "s3://conn@bucket/odd/#a?b%20=1.csv": named(naming.S3(bucket_name="bucket", object_key="odd/#a?b%20=1.csv")),
    "file:///a/b?c.csv": named(naming.LocalFileSystem(path="/a/b?c.csv")),
    "dlt:///a.events?destination=duckdb": ("dlt://", "a.events"),
    "gs://conn@lake/a.csv": named(naming.GCS(bucket_name="lake", object_key="a.csv")),
    "abfs://az@lake/a/b.parquet": named(naming.ABFSS(container="lake", service="shop", path="a/b.parquet")),
    "delta+s3://conn@bucket/a/table": named(naming.S3(bucket_name="bucket", object_key="a/table")),
    "delta+file:///a/table": named(naming.LocalFileSystem(path="/a/table")),
    "sql://pg/events": named(naming.Postgres(**DATABASE, schema="public", table="events")),
    "sql://pg/a.events": named(naming.Postgres(**DATABASE, schema="a", table="events")),
    "dlt://pg/a.events": named(naming.Postgres(**DATABASE, schema="a", table="events")),
    "sql://my/events": named(naming.MySQL(**DATABASE | {"port": "3306"}, table="events")),
    "sql://my/other.events": named(naming.MySQL(**DATABASE | {"port": "3306", "database": "other"}, table="events")),
    # For these it has no names.
    "sql://lite/events": ("sqlite:///a/b.db", "events"),
    "sql://duck/a.events": ("duckdb:///a/b.duckdb", "a.events"),
    "kept://place/a": ("kept://place", "a"),
}


@pytest.mark.parametrize(
    ("dataset", "uri"),
    [
        (("s3://bucket", "odd/#a?b.csv"), "s3://bucket/odd/%23a%3Fb.csv"),
        (("file", "/a/b?c.csv"), "file:///a/b%3Fc.csv"),
        (("gs://lake", "a.csv"), "gs://lake/a.csv"),
    ],
)
def test_all_of_a_key_is_in_the_assets_uri(dataset: tuple[str, str], uri: str) -> None:
    assert _asset_of(*dataset) == uri
    assert Asset(_asset_of(*dataset)).uri == uri


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize(("uri", "dataset"), NAMES.items())
def test_names(uri: str, dataset: tuple[str, str]) -> None:
    assert dataset_of(uri) == dataset
