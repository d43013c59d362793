"""The operator, as a task runs it: retries, limiter and checkpoints on."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet  # noqa: F401, TID253 - imported before the clock starts

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from benchmarks.answers import FIRST_DAY, LAST_DAY
from benchmarks.job import Job


def load(target: Any) -> None:
    """Load all that a pull loads when it runs, by a pull of nobody into a place of its own."""
    AltcraftHistoryOperator(task_id="load", profiles=[], target=target).execute({})


def pull(job: Job, target: Any) -> None:
    """Run the operator."""
    AltcraftHistoryOperator(
        task_id="pull", profiles=job.emails, target=target, date_from=FIRST_DAY, date_to=LAST_DAY
    ).execute({})
