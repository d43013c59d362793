"""A template that names what the run does not have fails the task at once, of whatever operator, mapped or not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.targets import ObjectStorageTarget

TEMPLATE = "{{ ds }}"
TASKS: list[tuple[type[Any], dict[str, Any]]] = [
    (AltcraftHistoryOperator, {"profiles": "ann@example.com", "target": "/a.parquet", "date_from": TEMPLATE}),
    (AltcraftHistoryOperator, {"profiles": "a@example.com", "target": ObjectStorageTarget(f"/{TEMPLATE}.parquet")}),
    (AltcraftHistoryOperator, {"profiles": [{"email": TEMPLATE}], "target": "/a.parquet"}),
    (AltcraftDatabaseHistoryOperator, {"target": "/a.parquet", "date_from": TEMPLATE, "date_to": TEMPLATE}),
    (AltcraftEventsOperator, {"actions": "click", "since": TEMPLATE}),
    (AltcraftActionSensor, {"profile": "ann@example.com", "actions": "click", "since": TEMPLATE}),
]


@pytest.mark.parametrize(("kind", "arguments"), TASKS)
def test_no_retry(kind: type[Any], arguments: dict[str, Any]) -> None:
    with DAG("dag", schedule=None):
        task = kind(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match="'ds' is undefined; a run without a logical date has only"):
        task.render_template_fields({"ti": SimpleNamespace(task_id="task")})


def test_what_no_date_would_give() -> None:
    with DAG("dag", schedule=None):
        task = AltcraftEventsOperator(task_id="task", actions="click", since="{{ nope }}")
    with pytest.raises(AirflowFailException, match=r"cannot be rendered: 'nope' is undefined$"):
        task.render_template_fields({})
