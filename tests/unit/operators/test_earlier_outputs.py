"""Outputs of earlier tasks as arguments: whatever holds one is downstream of its task."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.targets import SqlTarget
from airflow_provider.altcraft.targets.dlt import DltTarget
from tests.unit.operators.rendering import (
    ANN,
    OPERATORS,
    OwnTarget,
    Slots,
    everywhere,
)


@task
def earlier() -> str:
    return ANN


@pytest.fixture
def dag() -> Any:
    with DAG("d", schedule=None) as found:
        yield found


def fitting(kind: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    found = OPERATORS[kind] | arguments
    if "profiles" in arguments and kind is AltcraftActionSensor:
        del found["profile"]
    return found


def test_earlier_outputs_are_upstream_wherever_they_stand(dag: DAG) -> None:
    first = earlier()
    for number, (kind, arguments) in enumerate(everywhere(first)):
        operator = kind(task_id=f"t{number}", **fitting(kind, arguments))
        assert operator.upstream_task_ids == {"earlier"}, (kind, arguments)


def test_earlier_outputs_are_upstream_of_mapped_tasks(dag: DAG) -> None:
    first = earlier()
    for number, (kind, arguments) in enumerate(everywhere(first)):
        free = {"altcraft_conn_id": ["a", "b"]} if "altcraft_conn_id" not in arguments else {"list_id": [1, 2]}
        constant = {name: value for name, value in fitting(kind, arguments).items() if name not in free}
        mapped = kind.partial(task_id=f"t{number}", **constant).expand(**free)
        assert mapped.upstream_task_ids == {"earlier"}, (kind, arguments)
        rest = {name: value for name, value in fitting(kind, arguments).items() if name not in arguments}
        by_kwargs = kind.partial(task_id=f"k{number}", **rest).expand_kwargs([arguments, arguments])
        assert by_kwargs.upstream_task_ids == {"earlier"}, (kind, arguments)
    target = SqlTarget("lite", first)
    by_target = AltcraftHistoryOperator.partial(task_id="by_target", profiles=ANN).expand(target=[target, "/x/a.jsonl"])
    assert by_target.upstream_task_ids == {"earlier"}


def test_an_output_that_is_assigned_later_is_upstream_too(dag: DAG) -> None:
    operator = AltcraftHistoryOperator(task_id="t", **OPERATORS[AltcraftHistoryOperator])
    operator.target = SqlTarget("lite", earlier())
    assert operator.upstream_task_ids == {"earlier"}


@pytest.mark.parametrize(
    ("place", "make"),
    [
        ("target.other", lambda output: OwnTarget(other=output)),
        (r"target.other\['a'\]", lambda output: OwnTarget(other={"a": output})),
        ("target.destination", lambda output: DltTarget("a.b", destination=partial(dict, credentials=output))),
        ("target.other", lambda output: Slots(other=output)),
        ("target.inner.other", lambda output: OwnTarget(inner=OwnTarget(other=output))),
    ],
)
def test_an_output_that_cannot_be_followed_is_refused_at_parse(dag: DAG, place: str, make: Any) -> None:
    first = earlier()
    with pytest.raises(ValueError, match=rf"^{place}.*: expected a value known when the DAG file is parsed"):
        AltcraftHistoryOperator(task_id="t", profiles=ANN, target=make(first))
    with pytest.raises(ValueError, match=rf"^{place}.*: expected a value known when the DAG file is parsed"):
        AltcraftHistoryOperator.partial(task_id="m", target=make(first)).expand(profiles=[ANN])
