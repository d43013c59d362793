"""Airflow's own HttpOperator, mapped over profiles, by ``dag.test()``: with what each task costs Airflow itself."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow.parquet  # noqa: F401, TID253 - imported before the clock starts
from airflow.providers.common.compat.sdk import DAG, task
from airflow.providers.http.operators.http import HttpOperator

from benchmarks.job import Job, flat, write_rows


def prepare(_: Job) -> None:
    """Make Airflow's database."""
    from airflow.utils.db import initdb

    initdb()


def run(job: Job) -> None:
    """Pull and write."""
    with DAG("mapped", schedule=None, start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)) as dag:
        asked = HttpOperator.partial(
            task_id="ask",
            http_conn_id="platform",
            endpoint="api/v1.1/subscribers/history_get",
            headers={"Content-Type": "application/json"},
        ).expand(data=[json.dumps(job.request(email)) for email in job.emails])

        @task
        def write(answers: Any) -> None:
            write_rows([flat(row) for answer in answers for row in json.loads(answer)["data"]], job.parquet)

        write(asked.output)
    dag.test()
