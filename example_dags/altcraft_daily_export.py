"""Exports each day's history of some profiles into a Parquet file of its own.

Wants the connection ``altcraft_default`` with a default database. The files go where the Airflow Variable
``altcraft_lake`` says, such as ``s3://aws_default@lake/altcraft``; to a local folder where there is none. A run that is
cleared writes the same file again, so the export may be repeated for any day.
"""

from __future__ import annotations

import datetime as dt

from airflow.providers.common.compat.sdk import DAG, Asset, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator

# The day that is over: the run's own, or of one that was triggered without a logical date the day before it was due.
DAY = "{{ ds if ds is defined else macros.ds_add(dag_run.run_after | ds, -1) }}"

with DAG(
    "altcraft_daily_export",
    # With a plain "@daily", `ds` is the day that is over on Airflow 2, but the day that just begins on Airflow 3. With
    # this timetable it is the day that is over on both.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    description="Each day's history of some profiles as a file",
    doc_md=__doc__,
    tags=["altcraft"],
    params={
        "profiles": Param(
            [f"user{number}@example.com" for number in range(10)], type="array", title="Profiles (e-mails)"
        )
    },
) as dag:
    AltcraftHistoryOperator(
        task_id="export_history",
        profiles="{{ params.profiles | tojson }}",
        date_from=DAY,
        date_to=DAY,  # the same day twice is that whole day in UTC
        target="{{ var.value.get('altcraft_lake', 'file:///tmp/altcraft') }}/history/" + DAY + ".parquet",
        outlets=[Asset("altcraft_daily_history")],  # its events show rows and window
        # One run at a time, a backfill's too: else a slow one could replace what a later one has written.
        max_active_tis_per_dag=1,
        retries=3,
        retry_delay=dt.timedelta(minutes=5),
    )
