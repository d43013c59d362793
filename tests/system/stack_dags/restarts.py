"""Waits and watchers for a whole Airflow 3 whose triggerers die; what must not happen twice is noted in a file."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, Context, task
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.triggers.action import AltcraftActionEventTrigger

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}


def note(*words: str) -> None:
    with Path(os.environ["NOTES"]).open("a") as file:
        print(*words, file=file)


class Noted(AltcraftActionSensor):
    def execute_complete(self, context: Context, event: Any) -> Any:
        note("resumed", self.task_id)
        return super().execute_complete(context, event)


with DAG("waits", schedule=None):
    for number in range(4):
        Noted(
            task_id=f"wait{number}",
            profile=f"wait{number}@example.com",
            actions="confirm",
            deferrable=True,
            poke_interval=1,
        )

with DAG("again", schedule=None, max_active_tasks=8):
    for mode, way in MODES.items():
        for name, timeout in {"met": 600, "vain": 12}.items():
            AltcraftActionSensor(
                task_id=f"{name}-{mode}",
                profile=f"{name}@example.com",
                actions="confirm",
                poke_interval=5,  # a shorter one may be failed when it reschedules: apache/airflow#71172
                timeout=timeout,
                # Airflow 3.3 fails a try that is resumed before the executor has noticed that it has deferred.
                retries=2,
                retry_delay=dt.timedelta(seconds=1),
                **way,
            )
    Noted(task_id="waiting", profile="waiting@example.com", actions="confirm", deferrable=True, poke_interval=1)

WATCHED: dict[str, dict[str, Any]] = {
    "forms": {"actions": "form_post"},
    "opens": {"actions": "open"},
    "both": {"actions": ["form_post", "open"]},
    "named": {
        "actions": "form_post",
        "profiles": ["ann@example.com", {"matching": "email", "email": "met@example.com"}],
    },
}
assets = {
    name: Asset(
        name,
        watchers=[AssetWatcher(name=name, trigger=AltcraftActionEventTrigger(**which, poll_interval=2))],
    )
    for name, which in WATCHED.items()
}

with DAG(
    "consumes",
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("* * * * *", timezone="UTC"), assets=list(assets.values())
    ),
    catchup=False,
):

    @task
    def take(events: list[dict[str, Any]]) -> None:
        for event in events:
            note("taken", event["event_key"], event["email"])

    take(
        AltcraftEventsOperator(
            task_id="events",
            actions=["form_post", "open"],
            asset=assets["forms"],
            altcraft_conn_id="altcraft_tasks",
            retries=3,
            retry_delay=dt.timedelta(seconds=1),
        ).output
    )
