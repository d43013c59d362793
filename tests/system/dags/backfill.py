"""A pull of many days: one mapped task for each."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider.altcraft.extract.sources import PlatformProfiles
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator

with DAG("backfill", schedule=None, params={"first": "2025-01-01", "days": 1, "target": ""}) as dag:

    @task
    def days(params: dict[str, Any] | None = None) -> list[dict[str, str]]:
        given = params or {}
        first = dt.date.fromisoformat(given["first"])
        each = [str(first + dt.timedelta(days=number)) for number in range(given["days"])]
        return [{"date_from": day, "date_to": day} for day in each]

    AltcraftHistoryOperator.partial(
        task_id="pull", profiles=PlatformProfiles(), target="{{ params.target }}"
    ).expand_kwargs(days())
