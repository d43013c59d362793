"""One pull into each of the targets that ``LINEAGE_TARGETS`` names, run by ``test_lineage`` in a process of its own.

Prints what Airflow's database has of the outlets' events, and what its collector of hooks' lineage was given.
"""

from __future__ import annotations

import json
import os
from typing import Any

import airflow
from airflow.providers.common.compat.sdk import DAG, Asset

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator

TARGETS: dict[str, str] = json.loads(os.environ.get("LINEAGE_TARGETS", "{}"))
WINDOW = {"date_from": "2026-01-01", "date_to": "2026-01-02"}

with DAG("lineage", schedule=None) as dag:
    for name, target in TARGETS.items():
        outlet = Asset(f"s3://outlets/{name}")
        if name == "database":
            AltcraftDatabaseHistoryOperator(task_id=name, target=target, outlets=[outlet], **WINDOW)
        else:
            AltcraftHistoryOperator(task_id=name, profiles="ann@example.com", target=target, outlets=[outlet], **WINDOW)


def asset_events() -> dict[str, Any]:
    """What each task reported of its outlet."""
    from airflow.utils.session import create_session

    if airflow.__version__.startswith("2."):
        from airflow.models.dataset import DatasetEvent as AssetEvent
    else:
        from airflow.models.asset import AssetEvent
    with create_session() as session:
        return {
            event.source_task_id: event.extra for event in session.query(AssetEvent) if event.source_dag_id == "lineage"
        }


def hook_lineage() -> list[str]:
    """The outputs that were reported in this process, in which all tasks ran."""
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    outputs = get_hook_lineage_collector().collected_assets.outputs
    return [output.asset.uri for output in outputs]


if __name__ == "__main__":
    if airflow.__version__.startswith("2."):
        dag.sync_to_db()
    state = str(dag.test().state)
    print("reported: " + json.dumps({"state": state, "assets": asset_events(), "hooks": hook_lineage()}))
