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

from airflow_provider.altcraft.operators._lineage import dataset_of
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
    assert "could not be told of: KeyError" in caplog.text


@pytest.mark.parametrize(
    ("uri", "dataset"),
    [
        ("file:///a/b.parquet", ("file", "/a/b.parquet")),
        ("s3a://conn@bucket/a/b.parquet", ("s3://bucket", "a/b.parquet")),
        ("abfs://conn@lake/a/", ("abfs://lake", "a/")),
        ("gs://lake/a.csv", ("gs://lake", "a.csv")),
        ("sql://pg/events", ("postgres://db.example.com:5432", "crm.public.events")),
        ("sql://pg/a.events", ("postgres://db.example.com:5432", "crm.a.events")),
        ("dlt://pg/a.events", ("postgres://db.example.com:5432", "crm.a.events")),
        ("sql://lite/events", ("sqlite:///a/b.db", "events")),
        ("kept://place/a", ("kept://place", "a")),
    ],
)
def test_names(monkeypatch: pytest.MonkeyPatch, uri: str, dataset: tuple[str, str]) -> None:
    pg = {"conn_type": "postgres", "host": "db.example.com", "login": "me", "password": "s3cr3t", "schema": "crm"}
    monkeypatch.setenv("AIRFLOW_CONN_PG", json.dumps(pg))
    monkeypatch.setenv("AIRFLOW_CONN_LITE", json.dumps({"conn_type": "sqlite", "host": "/a/b.db"}))
    assert dataset_of(uri) == dataset
