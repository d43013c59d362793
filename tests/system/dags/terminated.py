"""Tasks that go on for long, to be terminated; each says in a file that it has begun."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor

FOLDER = Path(os.environ.get("TERMINATED_FOLDER", "/tmp/terminated"))
EMAILS = [f"user{number}@example.com" for number in range(1000)]
POKES: dict[str, Any] = {"poke_interval": 600, "deferrable": False}
WINDOW: dict[str, Any] = {"date_from": "2026-01-01", "date_to": "2026-01-03"}


def begin(context: Any) -> None:
    """Say so."""
    (FOLDER / "states" / f"{context['ti'].task_id}-begun").touch()


def end(context: Any) -> None:
    """Say that it has failed."""
    (FOLDER / "states" / f"{context['ti'].task_id}-ended").touch()


with DAG("terminated", schedule=None, default_args={"on_execute_callback": begin, "on_failure_callback": end}) as dag:
    s3 = os.environ.get("TERMINATED_S3", "s3://bucket/history")
    targets = {
        "file": f"{FOLDER}/out/history.parquet",
        "days": f"{FOLDER}/out/{{date}}.jsonl",
        "parts": f"{FOLDER}/out/parts/",
        "s3": f"{s3}/history.parquet",
        "s3_parts": f"{s3}/parts/",
        "table": "sql://terminated/history",
    }
    tasks: list[Any] = [
        AltcraftHistoryOperator(task_id=name, profiles=EMAILS, target=target, **WINDOW)
        for name, target in targets.items()
    ]
    tasks += [
        AltcraftDatabaseHistoryOperator(
            task_id="database", target=f"{FOLDER}/out/database.parquet", page_size=20, **WINDOW
        ),
        AltcraftEventsOperator(task_id="events", actions="form_post", profiles=EMAILS, since="2026-01-01"),
        AltcraftActionSensor(task_id="sensor", profile="ann@example.com", actions="confirm", **POKES),
        AltcraftActionSensor(task_id="cohort", profiles=EMAILS, actions="confirm", **POKES),
    ]
    for former, later in pairwise(tasks):
        later.trigger_rule = "all_done"
        former >> later
