"""Pulls for the page to show: usual ones, an empty one, of many campaigns, not for everybody, and of long names."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor

TARGETS = Path(os.environ["AIRFLOW_HOME"], "targets")
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LONG = "x" * 240  # Airflow takes ids of 250 characters
DAY = "{{ ds }}"


@task
def other() -> dict[str, Any]:
    """Return what is none of a pull's."""
    return {"summary": {"events": "many"}, "rows": 1}


with DAG("shop", schedule=None, start_date=START) as shop:
    AltcraftDatabaseHistoryOperator(
        task_id="database",
        target=f"{TARGETS}/{{date}}/all.parquet",
        date_from=DAY,
        date_to=DAY,
        lookback=dt.timedelta(days=13),
        timezone="Europe/Moscow",
    )
    AltcraftHistoryOperator(
        task_id="profiles",
        profiles=[f"user{number}@example.com" for number in range(20)],
        target=f"{TARGETS}/profiles/",
        on_profile_error="skip",
    )
    AltcraftHistoryOperator(
        task_id="empty",
        profiles="user1@example.com",
        date_from="2020-01-01",
        date_to="2020-01-01",
        target=f"{TARGETS}/e/",
    )
    AltcraftHistoryOperator(task_id="campaigns", list_id=2, profiles="many@example.com", target=f"{TARGETS}/c/")
    AltcraftHistoryOperator(task_id="hostile", list_id=3, profiles="<b>eve</b>@example.com", target=f"{TARGETS}/h/")
    AltcraftHistoryOperator.partial(task_id="mapped", profiles=["user1@example.com", "user2@example.com"]).expand(
        target=[f"{TARGETS}/m0/", f"{TARGETS}/m1/"]
    )
    AltcraftActionSensor(
        task_id="wait",
        profiles=[f"user{number}@example.com" for number in range(5)],
        quorum=3,
        actions="never_done",
        campaign_id=5,
        since="2026-01-01",
        timezone="Europe/Moscow",
        poke_interval=0.2,
        timeout=0.5,
        soft_fail=True,
    )
    other()

with DAG("secret", schedule=None, start_date=START) as secret:
    AltcraftHistoryOperator(task_id="profiles", profiles="user3@example.com", target=f"{TARGETS}/s/")

with DAG("slow", schedule=None, start_date=START) as slow:
    AltcraftHistoryOperator(
        task_id="pull", profiles=["user3@example.com", "user80@example.com"], target=f"{TARGETS}/w/"
    )

with DAG(f"long-{LONG}", schedule=None, start_date=START) as long:
    target = f"{TARGETS}/{LONG[:200]}/"
    AltcraftHistoryOperator(task_id=LONG, list_id=3, profiles="<b>eve</b>@example.com", target=target)
    AltcraftActionSensor(
        task_id=f"wait-{LONG}",
        profiles=[f"user{number}@{'e' * 60}.com" for number in range(60)],
        quorum=30,
        actions=LONG,
        since="2026-01-01",
        poke_interval=0.2,
        timeout=0.1,
        soft_fail=True,
    )
