"""The operator into Parquet part files, which a retry resumes."""

from __future__ import annotations

from benchmarks.contenders._ours import load, pull
from benchmarks.job import Job


def prepare(job: Job) -> None:
    """Load what a running task has loaded."""
    load(f"file://{job.out}/.load/")


def run(job: Job) -> None:
    """Pull and write."""
    pull(job, f"file://{job.out}/history/")
