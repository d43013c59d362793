"""``requests`` in 16 threads, a session each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow.parquet  # noqa: F401, TID253 - imported before the clock starts
import requests

from benchmarks.job import Job, flat, write_rows

THREADS = 16


def run(job: Job) -> None:
    """Pull and write."""
    own = threading.local()

    def ask(email: str) -> list[dict[str, Any]]:
        if not hasattr(own, "session"):
            own.session = requests.Session()
        answer = own.session.post(job.method, json=job.request(email), timeout=30)
        answer.raise_for_status()
        return [flat(row) for row in answer.json()["data"]]

    with ThreadPoolExecutor(THREADS) as pool:
        rows = [row for rows in pool.map(ask, job.emails) for row in rows]
    write_rows(rows, job.parquet)
