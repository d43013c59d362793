"""Arguments as Airflow's own rendering gives them: templates, native or not, callables, sets, paths, earlier tasks."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider.altcraft.client import ProfileLookup
from airflow_provider.altcraft.extract.sources import PlatformProfiles, SqlProfiles
from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.targets import ObjectStorageTarget, SqlTarget
from airflow_provider.altcraft.testing import Emulator
from tests.unit.operators.rendering import (
    ANN,
    NATIVE,
    OPERATORS,
    Frozen,
    Kept,
    OwnTarget,
    Slots,
    everywhere,
    made,
    rendered,
)
from tests.unit.sensors.modes import context as run_context


def test_every_field_is_tried() -> None:
    tried = {(kind, name) for kind, arguments in everywhere("{{ x }}") for name in arguments}
    assert tried >= {(kind, name) for kind in OPERATORS for name in kind.template_fields}


@NATIVE
@pytest.mark.parametrize("nothing", [None, "", " ", "None"])
def test_a_template_that_renders_to_nothing_is_refused_by_name(native: bool, nothing: Any) -> None:
    for kind, arguments in everywhere("{{ x }}"):
        name = next(iter(arguments)) if len(arguments) == 1 or "quorum" not in arguments else "quorum"
        with pytest.raises(AirflowFailException, match=rf"^{name}: expected a value, but '{{{{ x }}}}' gave nothing"):
            rendered(kind, native, {"x": nothing}, **arguments).execute(run_context())


@NATIVE
@pytest.mark.parametrize("expression", ["{{ x }}", "{{ none }}", "{{ d.get('a') }}"])
def test_an_expression_that_gives_none_within_a_text_is_refused_by_name(native: bool, expression: str) -> None:
    """It would become the text "None", and ``/x/None.jsonl`` a file that nobody looks for."""
    path = f"/x/{expression}.jsonl"
    targets = [path, ObjectStorageTarget(path), SqlTarget("lite", f"history_{expression}")]
    arguments = [*({"target": each} for each in targets), {"profiles": SqlProfiles(f"select {expression}", "lite")}]
    for each in arguments:
        refusal = rf"^{next(iter(each))}: expected a value, but ['\"].*{re.escape(expression)}.*['\"] gave nothing"
        with pytest.raises(AirflowFailException, match=refusal):
            rendered(AltcraftHistoryOperator, native, {"x": None, "d": {}}, **each).execute(run_context())


def test_the_environment_of_a_dag_may_say_what_none_is() -> None:
    with DAG(
        "d", schedule=None, jinja_environment_kwargs={"finalize": lambda value: "any" if value is None else value}
    ):
        operator = AltcraftHistoryOperator(task_id="t", profiles=ANN, target="/x/{{ x }}.jsonl")
    operator.render_template_fields({"x": None})
    assert operator.target == "/x/any.jsonl"


@NATIVE
def test_only_none_in_the_dag_file_is_an_open_bound(native: bool) -> None:
    operator = rendered(AltcraftHistoryOperator, native, date_from=None, date_to=None, list_id=None)
    assert (operator.date_from, operator.date_to, operator.list_id) == (None, None, None)
    assert rendered(AltcraftActionSensor, native, since=None).since is None


@pytest.mark.parametrize("value", ["1_000", "0x1F", "'quoted'", "+79001234567", "0012", "1,2", "[1]", "1e5", "True"])
def test_an_identifier_stays_the_text_that_was_written(value: str) -> None:
    crm = {"matching": "custom", "field_name": "CRM_ID"}
    for given in (value, "{{ x }}", "{{ x[:1] }}{{ x[1:] }}"):
        profiles = [crm | {"field_value": given}]
        for kind in (AltcraftHistoryOperator, AltcraftEventsOperator, AltcraftActionSensor):
            operator = rendered(kind, True, {"x": value}, profiles=profiles)
            assert operator.profiles == [crm | {"field_value": value}]
        source = PlatformProfiles(query={"id": given})
        assert rendered(AltcraftHistoryOperator, True, {"x": value}, profiles=source).profiles.query == {"id": value}


@NATIVE
def test_a_number_stays_one_natively(native: bool) -> None:
    crm = {"matching": "custom", "field_name": "CRM_ID", "field_value": "{{ x }}"}
    operator = rendered(AltcraftHistoryOperator, native, {"x": 7}, profiles=crm)
    assert operator.profiles["field_value"] == (7 if native else "7")


def test_natively_a_whole_argument_may_write_out_a_list() -> None:
    arguments = {"profiles": "[{% for name in names %}'{{ name }}',{% endfor %}]", "shard": "{{ i }}, 8"}
    operator = rendered(AltcraftHistoryOperator, True, {"names": ["a@x.com", "b@x.com"], "i": 3}, **arguments)
    assert (operator.profiles, operator.shard) == (["a@x.com", "b@x.com"], (3, 8))


@pytest.mark.parametrize(
    "profile",
    [
        {"matching": "phone", "phone": 79001234567},
        {"xxh": 1234567890123456},
        {"matching": "profile_id", "profile_id": 10**23},
        79001234567,
    ],
)
def test_a_number_in_place_of_a_text_is_refused_with_its_cause(
    altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path, profile: Any
) -> None:
    connect(altcraft_api)
    context = {"x": [profile]}
    target = str(tmp_path / "a.jsonl")
    operator = rendered(AltcraftHistoryOperator, True, context, profiles="{{ x }}", target=target)
    with pytest.raises(AirflowFailException, match=r"profiles\[0\].*got a number.*render_template_as_native_obj"):
        operator.execute({})
    assert altcraft_api.requests == []


@NATIVE
def test_numbers_pairs_and_lists_as_templates(
    altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path, native: bool
) -> None:
    connect(altcraft_api)
    altcraft_api.seed(profiles=4, events_per_profile=3, start=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), days=1)
    context = {"one": 1, "two": "2", "names": ["_fname"], "pair": [0, 2], "path": str(tmp_path)}
    database = rendered(
        AltcraftDatabaseHistoryOperator,
        native,
        context,
        target="{{ path }}/{shard}/{date}.jsonl",
        fields="{{ names | tojson }}",
        lookback="P{{ one }}D",
        parallel_ranges="{{ two }}",
        parallel_partitions="{{ one }}",
        shard=["{{ one }}", "{{ two }}"],
        page_size="{{ two }}",
    )
    result = database.execute({})
    assert len(result["uris"]) == 3
    assert {request.body["limit"] for request in altcraft_api.requests} == {2}
    assert {tuple(request.body["fields"]) for request in altcraft_api.requests} == {("_fname",)}
    history = rendered(
        AltcraftHistoryOperator,
        native,
        context,
        profiles=["a@x.com", "b@x.com"],
        target="{{ path }}/{shard}.jsonl",
        shard="{{ pair | tojson }}",
        max_failed_profiles="{{ one }}",
        concurrency="{{ two }}",
    )
    assert history.execute({})["uris"] == [f"file://{tmp_path}/0000-of-0002.jsonl"]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        *(
            (AltcraftDatabaseHistoryOperator, name, "x")
            for name in ("lookback", "parallel_ranges", "parallel_partitions", "page_size")
        ),
        (AltcraftDatabaseHistoryOperator, "parallel_ranges", "0"),
        (AltcraftDatabaseHistoryOperator, "shard", "[2, 2]"),
        (AltcraftDatabaseHistoryOperator, "shard", "7"),
        (AltcraftDatabaseHistoryOperator, "fields", "[1"),
        (AltcraftDatabaseHistoryOperator, "fields", "one"),
        (AltcraftHistoryOperator, "concurrency", "1.5"),
        (AltcraftHistoryOperator, "max_failed_profiles", "-1"),
        (AltcraftHistoryOperator, "shard", "[0, 'x']"),
    ],
)
@NATIVE
def test_what_does_not_fit_is_refused_by_name_and_for_good(
    altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path, kind: Any, name: str, value: str, native: bool
) -> None:
    connect(altcraft_api)
    target = str(tmp_path / "{date}-{shard}.jsonl" if kind is AltcraftHistoryOperator else tmp_path / "{date}.jsonl")
    operator = rendered(kind, native, {"x": value}, **{"target": target, name: "{{ x }}"})
    with pytest.raises(AirflowFailException, match=f"^{name}: "):
        operator.execute({})
    assert altcraft_api.requests == []
    assert list(tmp_path.iterdir()) == []


@NATIVE
@pytest.mark.parametrize("kind", [AltcraftHistoryOperator, AltcraftDatabaseHistoryOperator])
def test_an_interval_without_length_is_refused(kind: Any, native: bool) -> None:
    """As that of a plain ``@daily`` on Airflow 3: it would pull nothing, day after day."""
    context = {"x": dt.datetime(2026, 11, 20, tzinfo=dt.UTC)}
    operator = rendered(kind, native, context, date_from="{{ x }}", date_to="{{ x }}")
    with pytest.raises(AirflowFailException, match=r"got one without length.*CronDataIntervalTimetable"):
        operator.execute(run_context())


@pytest.mark.parametrize("kind", [AltcraftHistoryOperator, AltcraftDatabaseHistoryOperator])
def test_a_connection_that_is_not_there_costs_no_retry(kind: Any) -> None:
    operator = rendered(kind, altcraft_conn_id="nowhere", date_from="2026-01-01", date_to="2026-01-01")
    with pytest.raises(AirflowFailException, match="nowhere"):
        operator.execute(run_context())


def test_objects_that_runs_share_are_not_rendered_in_place() -> None:
    inner = OwnTarget("{{ x }}")
    shared = OwnTarget(inner=[inner, inner])
    operator = made(AltcraftHistoryOperator, target=shared)
    for value in ("1", "2"):
        attempt = operator.prepare_for_execution()
        attempt.render_template_fields({"x": value})
        assert [each.place for each in attempt.target.inner] == [value, value]
    assert shared.inner == [inner, inner]
    assert inner.place == "{{ x }}"


@pytest.mark.parametrize("kind", [OwnTarget, Kept, Frozen, Slots])
def test_targets_of_ones_own_are_rendered_however_they_keep_their_fields(kind: Any) -> None:
    for given, expected in (("{{ x }}", "1"), ("here", "here")):
        shared = kind(given)
        assert rendered(AltcraftHistoryOperator, context={"x": "1"}, target=shared).target.place == expected
        assert shared.place == given


SETS = """
import json
from airflow.providers.common.compat.sdk import DAG
from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.triggers.action import AltcraftActionEventTrigger
try:
    from airflow.serialization.serialized_objects import DagSerialization as Serialized
except ImportError:
    from airflow.serialization.serialized_objects import SerializedDAG as Serialized
many = {"open", "send", "click", "confirm", "form_post", "{{ x }}"}
known = frozenset(many - {"{{ x }}"})
with DAG("d", schedule=None) as dag:
    who = {"a@x.com", "b@x.com", "c@x.com"}
    AltcraftActionSensor(task_id="s", profiles=who, actions=many, fail_on={"hbounce", "complain"})
    AltcraftActionSensor.partial(task_id="m", profile="a@x.com", actions=known).expand(list_id=[1, 2])
    AltcraftEventsOperator(task_id="e", actions=many)
    day = {"date_from": "2026-01-01", "date_to": "2026-01-01"}
    AltcraftDatabaseHistoryOperator(task_id="f", target="/x/a.jsonl", fields=many, **day)
serialized = Serialized.to_dict(dag)
serialized["dag"].pop("fileloc", None)
trigger = AltcraftActionEventTrigger(profiles="a@x.com", actions=known)
print("said: " + json.dumps([serialized, trigger.serialize()], sort_keys=True, default=repr))
"""


def test_sets_are_serialized_in_a_stable_order() -> None:
    said = set()
    for seed in ("1", "2", "3"):
        script = [sys.executable, "-W", "ignore", "-c", SETS]
        env = os.environ | {"PYTHONHASHSEED": seed, "_AIRFLOW_PARSING_CONTEXT_DAG_ID": "d"}
        output = subprocess.run(script, env=env, check=True, capture_output=True, text=True).stdout
        said.add(output[output.index("said: ") :])
    (only,) = said
    assert json.dumps(["click", "confirm", "form_post", "open", "send"])[1:-1] in only


def test_a_lookup_made_in_the_dag_file_is_taken_as_it_is() -> None:
    lookup = ProfileLookup(email=ANN)
    assert rendered(AltcraftHistoryOperator, profiles=[lookup]).profiles == [lookup]
