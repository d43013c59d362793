"""The operator of a whole database, into Parquet."""

from __future__ import annotations

import pyarrow.parquet  # noqa: F401, TID253 - imported before the clock starts

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator
from benchmarks.answers import FIRST_DAY, LAST_DAY
from benchmarks.job import Job


def prepare(job: Job) -> None:
    """Load what a running task has loaded, by a pull of a day before all events."""
    day = "2025-06-01"
    AltcraftDatabaseHistoryOperator(
        task_id="load", target=f"file://{job.out}/.load/", date_from=day, date_to=day
    ).execute({})


def run(job: Job) -> None:
    """Pull and write."""
    AltcraftDatabaseHistoryOperator(
        task_id="pull", target=f"file://{job.out}/history/", date_from=FIRST_DAY, date_to=LAST_DAY
    ).execute({})
