"""What a missing extra says: which one, as a command to copy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from airflow_provider.altcraft._extras import _EXTRAS, not_installed
from airflow_provider.altcraft.targets import resolve_target
from airflow_provider.altcraft.targets._registry import OBJECT_STORAGE

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def said():
    script = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("without_extras.py"))]
    run = subprocess.run(script, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("place", "extra"),
    [
        ("s3://a@b/k.parquet", "s3"),
        ("s3a://b/k.parquet", "s3"),
        ("gs://g@b/k.parquet", "gcs"),
        ("gcs://b/k.parquet", "gcs"),
        ("abfs://w@b/k.parquet", "azure"),
        ("abfss://b/k.parquet", "azure"),
        ("az://b/k.parquet", "azure"),
        ("adl://b/k.parquet", "azure"),
        ("sql://p/t", "postgres"),
        ("sql://m/t", "mysql"),
        ("sql://d/t", "duckdb"),
        ("sql://c/t", "clickhouse"),
        ("delta+file:///a", "delta"),
        ("iceberg://i/a.b", "iceberg"),
        ("file", "gcs"),
        ("query", "postgres"),
    ],
)
def test_the_extra_to_install(said, place, extra):
    assert said[place].endswith(f": pip install 'airflow-provider-altcraft[{extra}]'")


def test_what_no_extra_brings(said):
    assert said["unheard://b/k.parquet"].endswith("install the Airflow provider that brings it")


def test_every_scheme_has_one_and_each_is_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(_EXTRAS) >= {*OBJECT_STORAGE} - {"file"}
    assert set(_EXTRAS.values()) == set(extras) - {"excel", "openlineage", "phone", "testing"}
    assert "(no s3fs): pip install 'airflow-provider-altcraft[s3]'" in not_installed("s3", ImportError("no s3fs"))


@pytest.mark.parametrize(
    "target",
    [
        "postgresql://ann:hush@db.example.com/sales",
        "postgresql+psycopg2://db/sales",
        "postgres://warehouse/public.history",
        "mysql://db/sales",
        "jdbc:mysql://db/sales",
        "sqlite:////tmp/history.db",
        "duckdb:///tmp/history.db",
        "Snowflake://account/db",
    ],
)
def test_the_address_of_a_database_is_no_target(target):
    with pytest.raises(ValueError, match=r"write its table as 'sql://conn_id/schema\.table'") as caught:
        resolve_target(target)
    assert "hush" not in str(caught.value)
