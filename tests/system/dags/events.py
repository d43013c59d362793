"""A task that is given events, and one that takes them in a block of its own; both keep account in Variables."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, get_current_context, task

from airflow_provider.altcraft.operators.events import AltcraftEventsOperator, events_since_last_run

with DAG("events", schedule=None, max_active_runs=1) as dag:

    @task
    def in_a_block() -> list[str]:
        with events_since_last_run(get_current_context(), actions="form_post") as events:
            return [event["email"] for event in events]

    @task
    def each(event: dict[str, Any]) -> str:
        return event["email"]

    in_a_block()
    each.expand(event=AltcraftEventsOperator(task_id="given", actions="form_post").output)
