"""The operator into Parquet part files, which a retry resumes."""

from __future__ import annotations

from benchmarks.contenders._ours import pull
from benchmarks.job import Job


def run(job: Job) -> None:
    """Pull and write."""
    pull(job, f"file://{job.out}/history/")
