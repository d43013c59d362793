"""Airflow's own HttpOperator, mapped over profiles, by ``dag.test()``: with what each task costs Airflow itself."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet  # noqa: F401, TID253 - imported before the clock starts
from airflow.providers.common.compat.sdk import DAG, task
from airflow.providers.http.operators.http import HttpOperator

from benchmarks.job import Job, flat, write_rows

FILE = """# Only files that name airflow and dag are looked into.
from benchmarks.contenders.http_operator_mapped import dag_of
from benchmarks.job import Job

dag = dag_of(Job(**{job!r}))
"""


def prepare(job: Job) -> DAG:
    """Make Airflow's database, and the DAG's file, where Airflow looks for it."""
    from airflow.utils.db import initdb

    initdb()
    folder = Path(job.out) / "dags"
    folder.mkdir()
    (folder / "mapped.py").write_text(FILE.format(job=asdict(job)))
    return dag_of(job)


def dag_of(job: Job) -> DAG:
    """A task for each profile, and one that writes."""
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
    return dag


def run(_: Job, dag: DAG) -> None:
    """Pull and write."""
    dag.test()
