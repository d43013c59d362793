"""Mapped tasks: instances that would replace one another's rows are refused at parse; what each is called."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, task, task_group

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.targets import ObjectStorageTarget

DAYS = [{"date_from": "2026-01-01", "date_to": "2026-01-01"}, {"date_from": "2026-01-02", "date_to": "2026-01-02"}]


@pytest.fixture(autouse=True)
def dag() -> Iterator[DAG]:
    with DAG("mapped", schedule=None) as dag:
        yield dag


NUMBERS = count()


def history(target: Any) -> Any:
    return AltcraftHistoryOperator.partial(task_id=f"pull{next(NUMBERS)}", target=target)


@pytest.mark.parametrize(
    "target",
    [
        "/x/a.jsonl",
        Path("/x/a.jsonl"),
        "s3://lake@bucket/history/",
        "/x/{date}/a.jsonl",
        "/x/{shard}.jsonl",
        ObjectStorageTarget("/x/a.jsonl"),
        "/x/{{ ds }}.jsonl",
        "s3://lake@bucket/{{ macros.ds_add(ds, 1) }}/{{ params.name }}-{{ run_id }}.jsonl",
        ObjectStorageTarget("{{ var.value.folder }}/{{ logical_date.strftime('%Y') }}.jsonl"),
    ],
)
def test_one_place_for_all_instances_is_refused(target: Any) -> None:
    with pytest.raises(ValueError, match=r"is the same for all instances of a mapped task.*ti\.map_index"):
        history(target).expand(profiles=["a@x.com", "b@x.com"])
    with pytest.raises(ValueError, match="is the same for all instances of a mapped task"):
        history(target).expand_kwargs([{"profiles": "a@x.com"}, {"profiles": "b@x.com"}])


def test_one_place_for_instances_that_an_earlier_task_gives_is_refused() -> None:
    @task
    def groups() -> list[dict[str, str]]:
        return [{"profiles": "a@x.com"}, {"profiles": "b@x.com"}]

    with pytest.raises(ValueError, match="is the same for all instances of a mapped task"):
        history("/x/a.jsonl").expand_kwargs(groups())
    history("/x/{date}.jsonl").expand_kwargs(groups())


def test_what_tells_instances_apart_is_taken() -> None:
    profiles = ["a@x.com", "b@x.com"]
    for target in (
        "/x/{{ ti.map_index }}.jsonl",
        "/x/{{ ds }}-{{ task.profiles }}.jsonl",
        "/x/{{ macros.uuid.uuid4() }}.jsonl",
        ObjectStorageTarget("/x/{{ my_macro() }}.jsonl"),
        "sql://lite/history",
        "sql://lite/history_{{ ds_nodash }}",
        "{{ var.value.target }}",  # perhaps a table
    ):
        history(target).expand(profiles=profiles)
    AltcraftHistoryOperator.partial(task_id="s", profiles=profiles, target="/x/{shard}/").expand(shard=[(0, 2), (1, 2)])
    AltcraftDatabaseHistoryOperator.partial(task_id="d", target="/x/{date}.jsonl").expand_kwargs(DAYS)
    AltcraftHistoryOperator.partial(task_id="t", profiles=profiles).expand(target=["/x/a.jsonl", "/x/b.jsonl"])
    AltcraftHistoryOperator.partial(task_id="u").expand(target=["/x/a.jsonl", "/x/b.jsonl"], profiles=["a@x.com"])
    tables = ["sql://lite/a", "sql://lite/b"]
    AltcraftHistoryOperator.partial(task_id="v").expand(target=tables, profiles=profiles)
    days = ["2026-01-01", "2026-01-02"]
    AltcraftHistoryOperator.partial(task_id="w", profiles="a@x.com").expand(target=["/x/{date}.jsonl"], date_from=days)
    one_each = [{"profiles": name, "target": f"/x/{name}.jsonl"} for name in profiles]
    AltcraftHistoryOperator.partial(task_id="x").expand_kwargs(one_each)


@pytest.mark.parametrize("targets", [["/x/a.jsonl", "/x/b.jsonl"], [ObjectStorageTarget("/x/a.jsonl")]])
def test_targets_of_several_instances_each_are_refused(targets: list[Any]) -> None:
    """Airflow maps over each target with each profile, not over pairs of them."""
    with pytest.raises(ValueError, match="is the same for all instances of a mapped task"):
        AltcraftHistoryOperator.partial(task_id="one").expand(target=targets, profiles=["a@x.com", "b@x.com"])
    kwargs = [{"profiles": name, "target": targets[0]} for name in ("a@x.com", "b@x.com")]
    with pytest.raises(ValueError, match="is the same for all instances of a mapped task"):
        AltcraftHistoryOperator.partial(task_id="two").expand_kwargs(kwargs)


@pytest.mark.parametrize("target", ["/x/a.jsonl", "/x/{{ ds }}.jsonl", ObjectStorageTarget("/x/{date}.jsonl")])
def test_one_place_for_a_mapped_group_of_tasks_is_refused(target: Any) -> None:
    @task_group
    def pull(name: Any) -> None:
        AltcraftHistoryOperator(task_id="pull", profiles=name, target=target)

    with pytest.raises(ValueError, match="is the same for all instances of a mapped task"):
        pull.expand(name=["a@x.com", "b@x.com"])


def test_what_tells_the_instances_of_a_group_apart_is_taken() -> None:
    @task_group
    def pull(value: Any) -> None:
        AltcraftHistoryOperator(task_id="a", profiles="a@x.com", target=value)
        AltcraftHistoryOperator(task_id="b", profiles="a@x.com", target=ObjectStorageTarget(value))
        AltcraftHistoryOperator(task_id="c", profiles=value, target="/x/{{ ti.map_index }}.jsonl")
        AltcraftHistoryOperator(task_id="d", profiles=value, target="sql://lite/history")
        AltcraftHistoryOperator(task_id="e", profiles=["a@x.com"], shard=[value, 2], target="/x/{shard}.jsonl")
        AltcraftDatabaseHistoryOperator(task_id="f", date_from=value, date_to=value, target="/x/{date}.jsonl")

    pull.expand(value=["1", "2"])


ANN: dict[str, Any] = {"matching": "custom", "field_name": "CRM_ID", "field_value": "1234567"}


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (AltcraftHistoryOperator(task_id="a", profiles="ann@example.com", target="/a.parquet"), "a***@example.com"),
        (AltcraftHistoryOperator(task_id="a", profiles=[ANN], target="/a.parquet"), "CRM_ID=***67"),
        (AltcraftHistoryOperator(task_id="a", profiles=["a@b.c", "b@b.c"], target="/a.parquet"), "2 profiles"),
        (AltcraftHistoryOperator(task_id="a", profiles=["a@b.c"], shard=(2, 8), target="/a{shard}.parquet"), "3 of 8"),
        (AltcraftHistoryOperator(task_id="a", profiles=list, target="/a.parquet"), ""),
        (AltcraftHistoryOperator(task_id="a", profiles="{{ params.who }}", target="/a.parquet"), ""),
        (AltcraftActionSensor(task_id="a", profile=ANN, actions="open"), "CRM_ID=***67"),
        (AltcraftActionSensor(task_id="a", profiles=["a@b.c", ANN], actions="open"), "2 profiles"),
    ],
)
def test_what_an_instance_is_called(made: Any, name: str) -> None:
    assert made.instance_name == name


def test_the_name_is_airflows_to_render() -> None:
    with DAG("named", schedule=None):
        ours = AltcraftActionSensor.partial(task_id="ours", actions="open").expand(profile=["ann@example.com"])
        own = AltcraftActionSensor.partial(task_id="own", actions="open", map_index_template="{{ 1 }}")
        assert own.expand(profile=["ann@example.com"]).map_index_template == "{{ 1 }}"
    assert ours.map_index_template == "{{ task.instance_name or ti.map_index }}"
