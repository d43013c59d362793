"""Waits until a person posts a form, then brings home the history of many profiles and counts the steps of a funnel.

This is the workflow of ``make demo``. Wants the connection ``altcraft_default`` with a default database. The parameters
may be changed for each run.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, ObjectStoragePath, Param, task

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor

FUNNEL = {"sent": "send", "delivered": "deliv", "opened": "open", "clicked": "click"}


@task
def funnel(exported: dict[str, Any]) -> str:
    """Read the file back and print its first rows, and for each step how many profiles took it, and how often."""
    import pyarrow.compute as pc
    from pyarrow import parquet

    with ObjectStoragePath(exported["uris"][0]).open("rb") as file:
        events = parquet.read_table(file, columns=["datetime", "xxh", "action", "message_id"])
    lines = [f"{'datetime':<22}{'xxh':<18}{'action':<10}message_id"]
    lines += [
        f"{row['datetime']:%Y-%m-%d %H:%M:%S}   {row['xxh']:<18}{row['action']:<10}{row['message_id']:>10}"
        for row in events.slice(0, 6).to_pylist()
    ]
    lines += ["…", "", f"{'':<12}{'profiles':>10}{'events':>10}"]
    for step, action in FUNNEL.items():
        taken = events.filter(pc.field("action") == action)
        lines.append(f"{step:<12}{len(taken['xxh'].unique()):>10,}{len(taken):>10,}")
    table = "\n".join(lines)
    print(table)
    return table


with DAG(
    "altcraft_demo",
    schedule=None,
    description="Waits for a form, then pulls the history of many profiles and counts a funnel",
    doc_md=__doc__,
    tags=["altcraft"],
    params={
        "awaited": Param("ann@example.com", type="string", title="Who posts the form (e-mail)"),
        "profiles": Param(
            [f"user{number}@example.com" for number in range(60)], type="array", title="Profiles (e-mails)"
        ),
        "date_from": Param("2026-01-01", type="string", format="date", title="First day"),
        "date_to": Param("2026-01-31", type="string", format="date", title="Last day"),
        "file": Param("/tmp/altcraft/demo.parquet", type="string", title="File to write"),  # noqa: S108
    },
) as dag:
    form = AltcraftActionSensor(
        task_id="wait_for_form",
        profile="{{ params.awaited }}",
        actions="form_post",
        deferrable=True,  # no worker is held while it waits
        poke_interval=2,  # a minute or more is kinder to a real installation
        timeout=10 * 60,
    )
    export = AltcraftHistoryOperator(
        task_id="export_history",
        profiles="{{ params.profiles | tojson }}",
        date_from="{{ params.date_from }}",
        date_to="{{ params.date_to }}",
        target="file://{{ params.file }}",
        outlets=[Asset("altcraft_demo_history")],  # its events show rows and window
    )
    form >> export
    funnel(export.output)
