"""Exports each of Moscow's days of a whole profile database as a partition of an asset (Airflow 3.3).

Wants the connection ``altcraft_default`` with a default database; give it the account's time zone as ``timezone``, so
that a day asks for no other. The objects go where the Airflow Variable ``altcraft_lake`` says, such as
``s3://aws_default@lake/altcraft``; to a local folder where there is none.

A run's partition key is the day that is over, by Moscow's clock: ``2026-11-27T00:00:00``. It names no zone, so
``timezone`` says whose day it is. The asset's event bears the key, and as its extra ``rows`` and ``window``.
"""

from __future__ import annotations

import datetime as dt

from airflow.sdk import DAG, Asset, CronPartitionTimetable

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator

MOSCOW = "Europe/Moscow"

with DAG(
    "altcraft_partitioned_export",
    schedule=CronPartitionTimetable("0 0 * * *", timezone=MOSCOW, run_offset=-1),
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    description="Each of Moscow's days of a whole database as a partition of an asset",
    doc_md=__doc__,
    tags=["altcraft"],
) as dag:
    AltcraftDatabaseHistoryOperator(
        task_id="export_partition",
        date_from="{{ partition_key }}",
        date_to="{{ partition_key }}",
        timezone=MOSCOW,
        target="{{ var.value.get('altcraft_lake', 'file:///tmp/altcraft') }}/partitions/date={date}/history.parquet",
        outlets=[Asset("altcraft_history")],
        max_active_tis_per_dag=1,
        retries=3,
        retry_delay=dt.timedelta(minutes=5),
    )
