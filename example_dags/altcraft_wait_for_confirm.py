"""Waits for a person to confirm the subscription: who does gets the campaign, who does not in time gets a reminder.

Wants the connection ``altcraft_default`` with a default database.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider.altcraft.sensors.action import AltcraftActionSensor


# A wait that times out is skipped, and skips do not stop here. One that failed, say on a wrong token, does stop here.
@task.branch(trigger_rule="none_failed")
def choose(confirmed: list[dict[str, Any]] | None) -> str:
    """Go on by whether the wait gave events."""
    return "campaign" if confirmed else "reminder"


@task
def campaign(params: dict[str, Any] | None = None) -> str:
    """Stand-in for what starts your campaign."""
    return f"Campaign for {(params or {})['profile']}"


@task
def reminder(params: dict[str, Any] | None = None) -> str:
    """Stand-in for what sends your reminder."""
    return f"Reminder for {(params or {})['profile']}"


with DAG(
    "altcraft_wait_for_confirm",
    schedule=None,
    description="Waits for a confirmation; who is too late gets a reminder",
    doc_md=__doc__,
    tags=["altcraft"],
    params={"profile": Param("ann@example.com", type="string", title="Profile (e-mail)")},
) as dag:
    wait = AltcraftActionSensor(
        task_id="wait_for_confirm",
        profile="{{ params.profile }}",
        actions="confirm",
        deferrable=True,
        poke_interval=60,
        timeout=dt.timedelta(hours=24),
        soft_fail=True,  # too late means skipped, not failed
    )
    choose(wait.output) >> [campaign(), reminder()]
