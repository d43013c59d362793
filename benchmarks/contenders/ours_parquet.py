"""The operator into Parquet, one file."""

from __future__ import annotations

from benchmarks.contenders._ours import pull
from benchmarks.job import Job


def run(job: Job) -> None:
    """Pull and write."""
    pull(job, f"file://{job.parquet}")
