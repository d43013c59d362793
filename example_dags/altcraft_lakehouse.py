"""Merges each day's history of some profiles into a Delta Lake table, and counts in it with DuckDB.

Wants the connection ``altcraft_default`` with a default database, and the extra ``delta``. The table is where the
Airflow Variable ``altcraft_lakehouse`` says, such as ``s3://aws_default@lake/history``; in a local folder where there
is none. The count reads a local folder; for a store, give ``DeltaTable`` the credentials as ``storage_options``.
"""

from __future__ import annotations

import datetime as dt

from airflow.providers.common.compat.sdk import DAG, Asset, Param, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.targets import DeltaTarget

# The day that is over: the run's own, or of one that was triggered without a logical date the day before it was due.
DAY = "{{ ds if ds is defined else macros.ds_add(dag_run.run_after | ds, -1) }}"
TABLE = "{{ var.value.get('altcraft_lakehouse', '/tmp/altcraft/history') }}"

with DAG(
    "altcraft_lakehouse",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    description="Each day's history of some profiles merged into a Delta Lake table",
    doc_md=__doc__,
    tags=["altcraft"],
    params={
        "profiles": Param(
            [f"user{number}@example.com" for number in range(10)], type="array", title="Profiles (e-mails)"
        )
    },
) as dag:
    merged = AltcraftHistoryOperator(
        task_id="merge_history",
        profiles="{{ params.profiles | tojson }}",
        date_from=DAY,
        date_to=DAY,
        target=DeltaTarget(TABLE),
        outlets=[Asset("altcraft_lakehouse_history")],  # its events show rows and window
        # One run at a time, a backfill's too: of two pulls of a day the one that began later stays.
        max_active_tis_per_dag=1,
        retries=3,
        retry_delay=dt.timedelta(minutes=5),
    )

    @task
    def count_actions(table: str) -> dict[str, int]:
        """How many events of each action the whole table has."""
        import duckdb
        from deltalake import DeltaTable

        with duckdb.connect() as connection:
            connection.register("history", DeltaTable(table).to_pyarrow_dataset())
            return dict(connection.execute("SELECT action, count(*) FROM history GROUP BY action").fetchall())

    merged >> count_actions(TABLE)
