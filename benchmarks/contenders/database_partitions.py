"""The operator of a whole database, in parts of the space of ``xxh``, into Parquet."""

from __future__ import annotations

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator
from benchmarks.answers import FIRST_DAY, LAST_DAY
from benchmarks.contenders.database import prepare
from benchmarks.job import Job

__all__ = ["prepare", "run"]


def run(job: Job) -> None:
    """Pull and write."""
    AltcraftDatabaseHistoryOperator(
        task_id="pull",
        target=f"file://{job.out}/history/",
        date_from=FIRST_DAY,
        date_to=LAST_DAY,
        parallel_partitions=8,
    ).execute({})
