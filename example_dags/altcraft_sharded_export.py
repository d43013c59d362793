"""Spreads a large export over an Airflow cluster: each mapped task pulls a shard of the profiles into its own part.

Wants the connection ``altcraft_default`` with a default database. A shard that fails or whose worker dies is retried
alone. ``docs/scaling.md`` says how many shards, and how much each may ask.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator


@task
def shards(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """For each shard: whom to ask, and where to write."""
    given = params or {}
    count = given["shards"]
    return [
        {
            "profiles": [
                {"matching": "custom", "field_name": "CRM_ID", "field_value": number}
                for number in range(shard, given["customers"], count)
            ],
            "target": given["target"].replace("SHARD", f"{shard:04d}"),
        }
        for shard in range(count)
    ]


@task
def total(exports: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Sum up what the shards report."""
    results = list(exports)
    return {name: sum(result[name] for result in results) for name in ("profiles", "rows")}


with DAG(
    "altcraft_sharded_export",
    schedule=None,
    tags=["altcraft"],
    params={
        "customers": Param(1000, type="integer", minimum=1),  # numbered from 0 in the profile field CRM_ID
        "shards": Param(8, type="integer", minimum=1),
        # A table, sql://conn_id/schema.table, is one for all shards.
        "target": "file:///tmp/altcraft/sharded/shard-SHARD.parquet",
        "date_from": Param("2026-01-01", type="string", format="date"),
        "date_to": Param("2026-01-31", type="string", format="date"),
    },
) as dag:
    export = AltcraftHistoryOperator.partial(
        task_id="export_shard",
        date_from="{{ params.date_from }}",
        date_to="{{ params.date_to }}",
        max_active_tis_per_dagrun=4,  # how many shards ask the platform at once
        retries=3,
        retry_delay=dt.timedelta(seconds=5),
    ).expand_kwargs(shards())
    total(export.output)
