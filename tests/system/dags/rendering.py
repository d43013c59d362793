"""What earlier tasks, callables and templates give to our arguments, rendered natively: run by ``test_rendering``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task, task_group

from airflow_provider.altcraft.extract.sources import FileProfiles, PlatformProfiles, SqlProfiles
from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.targets import ObjectStorageTarget, SqlTarget

OUT = os.environ.get("RENDERING_OUT", "/tmp")
ANN = "ann@example.com"


class OwnTarget:
    """A target of the user's own: what it is given is what another target writes to."""

    template_fields = ("path",)

    def __init__(self, path: Any) -> None:
        self.path = path

    def open(self, scope: Any) -> Any:
        return ObjectStorageTarget(self.path).open(scope)


@task
def give(value: Any) -> Any:
    time.sleep(0.2)
    return value


@task
def export(path: str) -> str:
    time.sleep(0.2)
    Path(path).write_text(f"email\n{ANN}\n", encoding="utf-8")
    return path


def people() -> list[str]:
    return [ANN]


def people_of(context: Any, jinja_env: Any) -> Any:
    yield context["params"]["who"]


def pull(name: str, *, profiles: Any = ANN, target: Any = None, **arguments: Any) -> None:
    target = f"{OUT}/{name}.jsonl" if target is None else target
    AltcraftHistoryOperator(task_id=name, profiles=profiles, target=target, **arguments)


with DAG("rendering", schedule=None, params={"who": ANN, "nothing": None}, render_template_as_native_obj=True) as dag:
    query = "select mail from people where mail = ?"
    nothing = give.override(task_id="nothing")(None)
    bounds = give.override(task_id="bounds")([{"date_from": None}, {"date_from": "2026-01-01"}])

    pull("sql_target", target=SqlTarget("rendering_lite", give("history")))
    pull("storage_target", target=ObjectStorageTarget(give(f"{OUT}/storage_target.jsonl")))
    pull("own_target", target=OwnTarget(give(f"{OUT}/own_target.jsonl")))
    pull("sql_source", profiles=SqlProfiles(give(query.replace("?", f"'{ANN}'")), "rendering_lite", columns="mail"))
    pull("parameters", profiles=SqlProfiles(query, "rendering_lite", columns="mail", parameters=[give(ANN)]))
    pull("file_source", profiles=FileProfiles(export(f"{OUT}/who.csv")))
    pull("platform_source", profiles=PlatformProfiles(query={"email": give(ANN)}))
    several = give.override(task_id="several").expand(value=[ANN, "bob@example.com"])
    pull("several_in_query", profiles=PlatformProfiles(query={"email": {"$in": several}}))
    pull("mapped_in_query", profiles=PlatformProfiles(query={"email": {"$in": give([ANN]).map(str)}}))
    pull("mapped_shard", shard=give([0, 1]).map(int), target=f"{OUT}/{{shard}}.jsonl")
    pull("function", profiles=people)
    pull("generator", profiles=people_of)

    partial = AltcraftHistoryOperator.partial
    shards = {"target": f"{OUT}/{{shard}}.jsonl", "profiles": people_of}
    partial(task_id="mapped_function", **shards).expand(shard=[(0, 2), (1, 2)])
    partial(task_id="mapped_target", profiles=ANN, target=SqlTarget("rendering_lite", give("mapped"))).expand(
        list_id=[1]
    )
    targets = [SqlTarget("rendering_lite", give("expanded")), f"{OUT}/expanded.jsonl"]
    partial(task_id="expanded_target", profiles=ANN).expand(target=targets)

    AltcraftEventsOperator(task_id="events", profiles=people, actions=give(["open"]), since="2026-01-01")
    AltcraftActionSensor(task_id="cohort", profiles=people_of, actions=give(["open"]), since=None, timeout=0)
    AltcraftDatabaseHistoryOperator(
        task_id="database",
        target=ObjectStorageTarget(give(f"{OUT}/{{date}}.jsonl")),
        date_from="2026-01-01",
        date_to="2026-01-01",
        lookback=give("P1D"),
    )

    pull("refused_output", date_from=nothing, retries=3)
    pull("refused_template", date_from="{{ params.nothing }}", retries=3)
    pull("refused_text", target=OUT + "/{{ params.nothing }}.jsonl", retries=3)
    pull("refused_name", target=OUT + "/{{ nobody_knows }}.jsonl", retries=3)
    pull("refused_attribute", date_from="{{ params.who.name.first }}", retries=3)
    pull("refused_parameter", profiles=SqlProfiles(query, "rendering_lite", parameters=[nothing]), retries=3)
    refused = {"profiles": ANN, "target": OUT + "/refused-{{ ti.map_index }}.jsonl", "retries": 3}
    partial(task_id="refused_mapped", **refused).expand_kwargs(bounds)
    partial(task_id="refused_list", **refused).expand(date_from=bounds.map(lambda each: each["date_from"]))
    # Of two that write one object, only the last would be left.
    alike = give.override(task_id="alike")(
        [{"profiles": who, "target": f"{OUT}/alike.jsonl"} for who in (ANN, "bob@x.com")]
    )
    partial(task_id="refused_alike", retries=3).expand_kwargs(alike)
    objects = give.override(task_id="objects")([f"{OUT}/object.jsonl"])
    partial(task_id="refused_product", retries=3).expand(target=objects, profiles=give(["bob@x.com", ANN]))
    apart = [{"profiles": ANN, "target": f"{OUT}/{name}.jsonl"} for name in ("apart", "apart_too")]
    partial(task_id="apart").expand_kwargs(give(apart))
    partial(task_id="one_of_each").expand(target=give([f"{OUT}/one.jsonl", f"{OUT}/one_too.jsonl"]), profiles=[ANN])

    # The same of a group, whose tasks are no mapped ones themselves.
    @task_group
    def refused_group(path: Any) -> None:
        pull("pull", target=path, retries=3)

    @task_group
    def group(path: Any) -> None:
        pull("pull", target=path)

    refused_group.expand(path=give.override(task_id="alike_in_group")([f"{OUT}/group.jsonl"] * 2))
    group.expand(path=give.override(task_id="apart_in_group")([f"{OUT}/group.jsonl", f"{OUT}/group_too.jsonl"]))
    # Written into the DAG file, it is an open bound.
    partial(task_id="open_bound", profiles=ANN).expand_kwargs(
        [{"date_from": None, "target": f"{OUT}/open.jsonl"}, {"date_to": None, "target": f"{OUT}/open_too.jsonl"}]
    )
