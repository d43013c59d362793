"""Exports groups of profiles, each by a task instance of its own into a file of its own, and sums up the results.

Wants the connection ``altcraft_default`` with a default database. The groups are known only when the run begins; here
they come from its parameters, in your DAG perhaps from a query.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, Param, task

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator


@task
def groups(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """For each group: whom to ask, and one object to write."""
    given = params or {}
    return [
        {"profiles": profiles, "target": f"{given['folder']}/{name}.parquet"}
        for name, profiles in given["groups"].items()
    ]


@task
def total(exports: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Sum up what the mapped tasks report."""
    results = list(exports)
    return {name: sum(result[name] for result in results) for name in ("profiles", "rows", "bytes")}


with DAG(
    "altcraft_mapped_export",
    schedule=None,
    description="Groups of profiles, each pulled by a task instance into a file of its own",
    doc_md=__doc__,
    tags=["altcraft"],
    params={
        "groups": Param(
            {
                "trial": ["user0@example.com", "user1@example.com"],
                # By your own key instead of an e-mail:
                "paying": [{"matching": "custom", "field_name": "CRM_ID", "field_value": "2"}],
            },
            type="object",
            title="Profiles by the name of their group",
        ),
        "folder": Param("file:///tmp/altcraft/groups", type="string", title="Folder of the files"),
        "date_from": Param("2026-01-01", type="string", format="date", title="First day"),
        "date_to": Param("2026-01-31", type="string", format="date", title="Last day"),
    },
) as dag:
    export = AltcraftHistoryOperator.partial(
        task_id="export_history",
        date_from="{{ params.date_from }}",
        date_to="{{ params.date_to }}",
        map_index_template="{{ task.target.rpartition('/')[2].removesuffix('.parquet') }}",  # the group
        max_active_tis_per_dagrun=4,  # how many groups ask the platform at once
        outlets=[Asset("altcraft_groups_history")],  # its events, one for each group, show rows and window
    ).expand_kwargs(groups())
    total(export.output)
