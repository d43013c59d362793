"""The operator of a whole database, into Parquet."""

from __future__ import annotations

import pyarrow.parquet  # noqa: F401, TID253 - imported before the clock starts

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator
from benchmarks.answers import FIRST_DAY, LAST_DAY
from benchmarks.job import Job


def prepare(job: Job) -> None:
    """Load what a running task has loaded, by a pull of no time at all."""
    noon = "2026-01-01T12:00:00Z"
    AltcraftDatabaseHistoryOperator(
        task_id="load", target=f"file://{job.out}/.load/", date_from=noon, date_to=noon
    ).execute({})


def run(job: Job) -> None:
    """Pull and write."""
    AltcraftDatabaseHistoryOperator(
        task_id="pull", target=f"file://{job.out}/history/", date_from=FIRST_DAY, date_to=LAST_DAY
    ).execute({})
