"""A dlt pipeline from the platform into Parquet files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
}

import dlt
import dlt.destinations
import pyarrow.parquet  # noqa: F401, TID253 - imported before the clock starts
from dlt.sources.helpers.rest_client.client import RESTClient

from benchmarks.job import Job


def prepare(job: Job) -> None:
    """Load what dlt loads when it runs, by a pipeline of one row."""
    folder = Path(job.out) / ".load"
    pipeline = dlt.pipeline(
        "load",
        pipelines_dir=str(folder / "work"),
        destination=dlt.destinations.filesystem(bucket_url=folder.as_uri()),
        dataset_name="load",
    )
    pipeline.run([{"a": 1}], table_name="load", loader_file_format="parquet")


def load(job: Job, make: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Run the pipeline.

    Args:
        job: what to pull.
        make: from an answer's rows to what the resource gives.
    """
    os.environ["EXTRACT__WORKERS"] = str(job.connections)
    os.environ["EXTRACT__MAX_PARALLEL_ITEMS"] = str(job.connections)
    client = RESTClient(job.url)

    @dlt.resource(name="emails")
    def emails() -> Any:
        yield from job.emails

    @dlt.transformer(
        data_from=emails, name="history", parallelized=True, write_disposition="replace", max_table_nesting=0
    )
    def history(email: str) -> Any:
        answer = client.post("api/v1.1/subscribers/history_get", json=job.request(email))
        answer.raise_for_status()
        return make(answer.json()["data"])

    out = Path(job.out)
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(out / ".dlt"),
        destination=dlt.destinations.filesystem(bucket_url=(out / "lake").as_uri()),
        dataset_name="bench",
    )
    pipeline.run(history, loader_file_format="parquet")
