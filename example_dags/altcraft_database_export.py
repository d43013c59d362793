"""Exports each day's history of a whole profile database into an object of its own, and what came late for days before.

Wants the connection ``altcraft_default`` with a default database. The objects go where the Airflow Variable
``altcraft_lake`` says, such as ``s3://aws_default@lake/altcraft``; to a local folder where there is none. Each run also
pulls the three days before its own again and replaces their objects, as events may come days after they happened. The
result says how late they came, and what ``lookback`` would have reached them all.

Past days by Airflow's own backfill: ``airflow backfill create --dag-id altcraft_database_export --from-date 2026-01-01
--to-date 2026-12-31``. For a long time one task with the whole window asks far less of the platform.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator

# The day that is over: the run's own, or of one that was triggered without a logical date the day before it was due.
DAY = "{{ ds if ds is defined else macros.ds_add(dag_run.run_after | ds, -1) }}"


@task
def report(exported: dict[str, Any]) -> str:
    """Say what was exported, and whether the lookback is long enough."""
    late = exported["lateness"]
    words = f"{exported['rows']:,} events by {exported['pages']:,} pages"
    if late is None:
        return f"{words}; nothing to compare with yet"
    return f"{words}; {late['events']:,} came late, recommended lookback: {late['recommended_lookback']}"


with DAG(
    "altcraft_database_export",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    description="Each day's history of a whole database, and what came late for days before",
    doc_md=__doc__,
    tags=["altcraft"],
) as dag:
    export = AltcraftDatabaseHistoryOperator(
        task_id="export_database",
        date_from=DAY,
        date_to=DAY,
        lookback=dt.timedelta(days=3),
        fields=["CRM_ID"],
        target="{{ var.value.get('altcraft_lake', 'file:///tmp/altcraft') }}/database/date={date}/history.parquet",
        outlets=[Asset("altcraft_database_history")],  # its events show rows and window
        # One run at a time, a backfill's too: else a slow one could replace what a later one has written.
        max_active_tis_per_dag=1,
        retries=3,
        retry_delay=dt.timedelta(minutes=5),
    )
    report(export.output)
