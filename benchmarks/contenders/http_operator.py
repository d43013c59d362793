"""Airflow's own HttpOperator: each profile's task, executed one after the other in one process, and one that writes.

Mapped for real, each is also scheduled and starts a process of its own: see ``http_operator_mapped``.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow.parquet  # noqa: F401, TID253 - imported before the clock starts
from airflow.providers.http.operators.http import HttpOperator

from benchmarks.job import Job, flat, write_rows


def run(job: Job) -> None:
    """Pull and write."""
    rows: list[dict[str, Any]] = []
    for number, email in enumerate(job.emails):
        task = HttpOperator(
            task_id=f"ask_{number}",
            http_conn_id="platform",
            endpoint="api/v1.1/subscribers/history_get",
            data=json.dumps(job.request(email)),
            headers={"Content-Type": "application/json"},
        )
        rows += map(flat, json.loads(task.execute({}))["data"])
    write_rows(rows, job.parquet)
