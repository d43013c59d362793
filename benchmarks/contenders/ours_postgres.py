"""The operator into PostgreSQL."""

from __future__ import annotations

from benchmarks.contenders._ours import load, pull
from benchmarks.job import Job


def prepare(job: Job) -> None:
    """Load what a running task has loaded."""
    load(f"sql://bench_postgres/{job.postgres}_load")


def run(job: Job) -> None:
    """Pull and write."""
    pull(job, f"sql://bench_postgres/{job.postgres}")
