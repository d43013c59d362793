"""A real run tells of its outputs: OpenLineage's events, the outlets' asset events, and the hooks' lineage."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset
from openlineage.client.naming import dataset as naming

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.testing import Emulator
from tests.integration.databases import Database
from tests.integration.stores import S3

SCRIPT = Path(__file__).parents[1] / "system" / "dags" / "lineage.py"
WINDOW = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-03T00:00:00+00:00"}


class Reported:
    """What a run of ``dags/lineage.py`` reported.

    Attributes:
        outputs: of each task, the outputs of its last OpenLineage event: namespace, name, rows and bytes.
        schemas: of each task, the columns that its outputs have by OpenLineage.
        assets: of each task, the extra of its outlet's event.
        hooks: the outputs in the hooks' lineage.
    """

    def __init__(self, events: Path, said: str) -> None:
        result = json.loads(said)
        assert result["state"] == "success"
        self.assets, self.hooks = result["assets"], result["hooks"]
        self.outputs: dict[str, list[tuple[Any, ...]]] = {}
        self.schemas: dict[str, list[Any]] = {}
        for line in events.read_text().splitlines():
            event = json.loads(line)
            task = event["job"]["name"].partition("lineage.")[2]
            if event["eventType"] == "COMPLETE" and task:
                self.outputs[task] = [_reported_of(output) for output in event["outputs"]]
                self.schemas[task] = [output["facets"]["schema"]["fields"] for output in event["outputs"]]


def _reported_of(output: dict[str, Any]) -> tuple[Any, ...]:
    statistics = output["outputFacets"]["outputStatistics"]
    return output["namespace"], output["name"], statistics["rowCount"], statistics.get("size")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="module")
def targets(folder: Path, s3: S3, postgres: Database, sqlite: Database) -> dict[str, str]:
    return {
        "one": f"{folder}/one.parquet",
        "days": f"file://{folder}/date={{date}}/a.jsonl",
        "parts": f"file://{folder}/parts/",
        "database": f"file://{folder}/database.csv.gz",
        "s3": s3.uri("lineage/a.parquet"),
        "postgres": f"sql://{postgres.conn_id}/lineage",
        "sqlite": f"sql://{sqlite.conn_id}/lineage",
    }


@pytest.fixture(scope="module")
def said(folder: Path, targets: dict[str, str], airflow_db: Path) -> Reported:
    """Run it once for all tests."""
    events = folder / "openlineage.jsonl"
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    with Emulator() as api:
        api.add_profile(email="ann@example.com")
        for day in (1, 1, 2, 3):
            api.add_event("ann@example.com", "open", at=dt.datetime(2026, 1, day, 12, tzinfo=dt.UTC))
        connection = {"conn_type": "altcraft", "host": api.url, "password": api.token, "extra": {"list_id": 1}}
        environment = os.environ | {
            "AIRFLOW_CONN_ALTCRAFT_DEFAULT": json.dumps(connection),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "LINEAGE_TARGETS": json.dumps(targets),
        }
        command = [sys.executable, "-W", "ignore", str(SCRIPT)]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    said = [line.partition("reported: ")[2] for line in ran.stdout.splitlines() if line.startswith("reported: ")]
    assert said, ran.stdout[-3000:] + ran.stderr[-3000:]
    return Reported(events, said[0])


def test_openlineage_names_what_was_written(
    said: Reported, folder: Path, s3: S3, sqlite: Database, postgres: Database
) -> None:
    def file(path: str) -> tuple[str, str]:
        return naming.LocalFileSystem(path=str(folder / path)).get_namespace(), str(folder / path)

    def size(path: str) -> int:
        return (folder / path).stat().st_size

    days = [f"date=2026-01-0{day}/a.jsonl" for day in (1, 2)]
    part = next((folder / "parts").glob("part-*"))
    bucket = naming.S3(bucket_name=s3.bucket, object_key="lineage/a.parquet")
    table = naming.Postgres(
        host="127.0.0.1", port="5432", database=postgres.arguments["dbname"], schema="public", table="lineage"
    )
    assert said.outputs == {
        "one": [(*file("one.parquet"), 3, size("one.parquet"))],
        "days": [(*file(days[0]), 2, size(days[0])), (*file(days[1]), 1, size(days[1]))],
        "parts": [(*file("parts"), 3, part.stat().st_size)],
        "database": [(*file("database.csv.gz"), 3, size("database.csv.gz"))],
        "s3": [(bucket.get_namespace(), bucket.get_name(), 3, len(s3.read("lineage/a.parquet")))],
        "postgres": [(table.get_namespace(), table.get_name(), 3, None)],
        "sqlite": [(f"sqlite://{sqlite.arguments['path']}", "lineage", 3, None)],
    }


def test_openlineage_has_the_schema_of_each(said: Reported) -> None:
    columns = [(field.name, str(field.type)) for field in SCHEMA]
    for schemas in said.schemas.values():
        for fields in schemas:
            assert [(field["name"], field["type"]) for field in fields] == columns


def test_an_outlets_event_has_rows_profiles_and_window(said: Reported, targets: dict[str, str]) -> None:
    of_profiles = {"rows": 3, "profiles": 1, "window": WINDOW}
    of_database = {"rows": 3, "window": WINDOW}
    assert said.assets == {name: of_database if name == "database" else of_profiles for name in targets}


def test_hooks_lineage_has_each_output(
    said: Reported, folder: Path, s3: S3, sqlite: Database, postgres: Database
) -> None:
    files = [
        "one.parquet",
        "date=2026-01-01/a.jsonl",
        "date=2026-01-02/a.jsonl",
        "parts",
        "database.csv.gz",
    ]
    assert set(said.hooks) >= {
        *(f"file://{folder}/{path}" for path in files),
        f"s3://{s3.bucket}/lineage/a.parquet",
        f"postgres://127.0.0.1:5432/{postgres.arguments['dbname']}/public/lineage",
        Asset(f"sqlite://{sqlite.arguments['path']}/lineage").uri,  # which Airflow spells in its own way
    }
