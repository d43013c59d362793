"""dlt with its REST client, parallelized, as rows that are dictionaries."""

from __future__ import annotations

from benchmarks.contenders._dlt import load, prepare
from benchmarks.job import Job

__all__ = ["prepare", "run"]


def run(job: Job) -> None:
    """Pull and write."""
    load(job, lambda rows: rows)
