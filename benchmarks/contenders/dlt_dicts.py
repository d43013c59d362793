"""dlt with its REST client, parallelized, as rows that are dictionaries."""

from __future__ import annotations

from benchmarks.contenders._dlt import load
from benchmarks.job import Job


def run(job: Job) -> None:
    """Pull and write."""
    load(job, lambda rows: rows)
