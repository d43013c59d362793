"""Starts when somebody posts a form, and follows up with each who did, exactly once. Wants Airflow 3.

Wants the connection ``altcraft_default`` with a default database. The watcher looks at the whole database; name
``profiles`` to it and to the operator where only some people matter.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task
from airflow.sdk import Asset, AssetWatcher
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.triggers.action import AltcraftActionEventTrigger

posted = AltcraftActionEventTrigger(actions="form_post", poll_interval=60)
forms = Asset("altcraft_forms", watchers=[AssetWatcher(name="altcraft_forms", trigger=posted)])


@task(retries=3, retry_delay=dt.timedelta(minutes=1), map_index_template="{{ event['xxh'] }}")
def follow_up(event: dict[str, Any]) -> str:
    """Stand-in for what follows up."""
    return f"Thank you, {event['email']}"


with DAG(
    "altcraft_follow_up",
    # Airflow may hand what a watcher fires over late, or not before the next time it fires. So a run comes by the clock
    # as well; it finds what there is, mostly nothing.
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("*/10 * * * *", timezone="UTC"), assets=[forms]),
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    description="Follows up once with everybody who posts a form",
    doc_md=__doc__,
    tags=["altcraft"],
) as dag:
    events = AltcraftEventsOperator(task_id="who_posted", actions="form_post", asset=forms, retries=3)
    follow_up.expand(event=events.output)
