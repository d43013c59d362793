"""Spreads a large export over an Airflow cluster: each mapped task pulls a shard of the profiles into its own part.

Wants the connection ``altcraft_default`` with a default database, and a file that names the profiles: CSV, JSON lines
or Parquet, with the profile field ``CRM_ID`` in a column ``crm_id``. A query or the platform's own list would do as
well: ``SqlProfiles``, ``PlatformProfiles``. A shard that fails or whose worker dies is retried alone.
``docs/scaling.md`` says how many shards, and how much each may ask.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, Param, task

from airflow_provider.altcraft.extract.sources import FileProfiles
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator


@task
def shards(params: dict[str, Any] | None = None) -> list[tuple[int, int]]:
    """Which part of how many each task pulls. A profile is always in the same one, whatever else is in the list."""
    count = (params or {})["shards"]
    return [(number, count) for number in range(count)]


@task
def total(exports: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Sum up what the shards report."""
    results = list(exports)
    return {name: sum(result[name] for result in results) for name in ("profiles", "rows")}


with DAG(
    "altcraft_sharded_export",
    schedule=None,
    description="A large export spread over mapped tasks, each a shard of the profiles",
    doc_md=__doc__,
    tags=["altcraft"],
    params={
        "profiles": Param("file:///tmp/altcraft/customers.csv", type="string", title="File that names the profiles"),
        "shards": Param(8, type="integer", minimum=1, title="Number of shards"),
        # A table, sql://conn_id/schema.table, is one for all shards. Of a path, each shard fills {shard} with its own.
        "target": Param("file:///tmp/altcraft/sharded/{shard}.parquet", type="string", title="Where to write"),
        "date_from": Param("2026-01-01", type="string", format="date", title="First day"),
        "date_to": Param("2026-01-31", type="string", format="date", title="Last day"),
    },
) as dag:
    export = AltcraftHistoryOperator.partial(
        task_id="export_shard",
        profiles=FileProfiles(
            "{{ params.profiles }}", matching="custom", fixed={"field_name": "CRM_ID"}, columns="crm_id"
        ),
        target="{{ params.target }}",
        date_from="{{ params.date_from }}",
        date_to="{{ params.date_to }}",
        max_active_tis_per_dagrun=4,  # how many shards ask the platform at once
        retries=3,
        retry_delay=dt.timedelta(seconds=5),
        outlets=[Asset("altcraft_sharded_history")],  # its events, one for each shard, show rows and window
    ).expand(shard=shards())
    total(export.output)
