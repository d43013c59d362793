"""What Airflow's collector of hooks' lineage gets of an output: where it is, and no connection's id."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_mock import MockerFixture

from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.operators import _lineage


class Collector:
    """Airflow's own has a reader only where a plugin brings one."""

    def __init__(self) -> None:
        self.reported: list[str] = []

    def add_output_asset(self, context: Any, uri: str) -> None:
        self.reported.append(uri)


def test_each_output_is_reported(mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "wasb", "password": "a2V5", "extra": {"account_name": "shop"}}
    monkeypatch.setenv("AIRFLOW_CONN_AZ", json.dumps(connection))
    collector = Collector()
    mocker.patch("airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", return_value=collector)
    uris = [
        "file:///lake/a.parquet",
        "file:///lake/parts/_manifest.json",
        "s3://aws@lake/b/c.parquet",
        "gs://g@lake/d.parquet",
        "abfs://az@lake/e/f.csv",
    ]
    _lineage._to_hook_lineage({"uris": uris}, AltcraftHook())
    assert collector.reported == [
        "file:///lake/a.parquet",
        "file:///lake/parts",
        "s3://lake/b/c.parquet",
        "gs://lake/d.parquet",
        "abfss://lake/e/f.csv",
    ]


def test_nothing_is_made_where_nobody_reads(mocker: MockerFixture) -> None:
    """The collector imports the packages of every store, also one that does nothing."""
    asked = mocker.patch("airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector")
    _lineage._to_readers({"uris": ["file:///lake/a.parquet"]}, AltcraftHook())
    assert not asked.called
    mocker.patch.object(_lineage, "is_hook_lineage_read", return_value=True)
    _lineage._to_readers({"uris": ["file:///lake/a.parquet"]}, AltcraftHook())
    assert asked.called
