"""``requests``, one call after the other."""

from __future__ import annotations

import pyarrow.parquet  # noqa: F401, TID253 - imported before the clock starts
import requests

from benchmarks.job import Job, flat, write_rows


def run(job: Job) -> None:
    """Pull and write."""
    rows = []
    with requests.Session() as session:
        for email in job.emails:
            answer = session.post(job.method, json=job.request(email), timeout=30)
            answer.raise_for_status()
            rows += [flat(row) for row in answer.json()["data"]]
    write_rows(rows, job.parquet)
