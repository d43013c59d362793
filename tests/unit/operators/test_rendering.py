"""Arguments as Airflow's own rendering gives them: templates, native or not, callables, sets, paths, earlier tasks."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, ObjectStoragePath, task

from airflow_provider.altcraft.client import ProfileLookup
from airflow_provider.altcraft.extract.sources import FileProfiles, PlatformProfiles, SqlProfiles
from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.targets import ObjectStorageTarget, SqlTarget, read_manifest, resolve_target
from airflow_provider.altcraft.targets.dlt import DltTarget
from airflow_provider.altcraft.testing import Emulator
from tests.unit.sensors.modes import context as run_context

ANN = "ann@example.com"
WINDOW = {"date_from": "2026-01-01", "date_to": "2026-01-02"}
OPERATORS: dict[Any, dict[str, Any]] = {
    AltcraftHistoryOperator: {"profiles": ANN, "target": "sql://lite/history"},
    AltcraftDatabaseHistoryOperator: {"target": "sql://lite/history", **WINDOW},
    AltcraftEventsOperator: {"actions": "open"},
    AltcraftActionSensor: {"profile": ANN, "actions": "open"},
}
NATIVE = pytest.mark.parametrize("native", [False, True], ids=["text", "native"])


@dataclass
class OwnTarget:
    """A target of the user's own, with an object within it."""

    template_fields = ("place", "inner")
    place: Any = "here"
    inner: Any = None
    other: Any = field(default=None, repr=False)

    def open(self, scope: Any) -> Any:
        raise NotImplementedError


class Kept:
    """A target of the user's own that checks what it is given, and so keeps it under another name."""

    template_fields = ("place",)

    def __init__(self, place: Any) -> None:
        self.place = place

    @property
    def place(self) -> Any:
        return self._place

    @place.setter
    def place(self, value: Any) -> None:
        self._place = value

    def open(self, scope: Any) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Frozen:
    """A target of the user's own that cannot be changed."""

    place: Any
    template_fields = ("place",)

    def open(self, scope: Any) -> Any:
        raise NotImplementedError


class Slots:
    """A target of the user's own without ``__dict__``."""

    __slots__ = ("other", "place")
    template_fields = ("place",)

    def __init__(self, place: Any = "here", other: Any = None) -> None:
        self.place = place
        self.other = other

    def open(self, scope: Any) -> Any:
        raise NotImplementedError


def made(kind: Any, native: bool = False, **arguments: Any) -> Any:
    if "profiles" in arguments and kind is AltcraftActionSensor:
        arguments.setdefault("profile", None)
    with DAG("d", schedule=None, render_template_as_native_obj=native):
        return kind(task_id="t", **OPERATORS[kind] | arguments)


def rendered(kind: Any, native: bool = False, context: Any = None, **arguments: Any) -> Any:
    operator = made(kind, native, **arguments).prepare_for_execution()
    operator.render_template_fields({"ti": SimpleNamespace(map_index=0)} | (context or {}))
    return operator


def within(kind: str, value: Any) -> list[Any]:
    """Targets and sources with the value in each field that is rendered, and the place that errors name."""
    return {
        "targets": [
            ObjectStorageTarget(value),
            ObjectStorageTarget("/x/{{ ti.map_index }}/", part_rows=value),
            SqlTarget(value, "history"),
            SqlTarget("lite", value),
            SqlTarget("lite", "history", value),
            SqlTarget("lite", "history", nul_replacement=value),
            DltTarget(value, conn_id="lite"),
            DltTarget("a.b", conn_id=value),
            OwnTarget(value),
            Kept(value),
            Frozen(value),
            Slots(value),
            OwnTarget(inner=[{"deep": OwnTarget(value)}]),
        ],
        "profiles": [
            FileProfiles(value),
            FileProfiles("/x/a.csv", matching=value),
            FileProfiles("/x/a.csv", columns=value),
            FileProfiles("/x/a.csv", columns={"email": value}),
            FileProfiles("/x/a.csv", matching="custom", columns="a", fixed={"field_name": value}),
            SqlProfiles(value, "lite"),
            SqlProfiles("select 1", value),
            SqlProfiles("select 1", "lite", parameters=[value]),
            PlatformProfiles(query={"email": {"$in": [value]}}),
            PlatformProfiles(page_size=value),
        ],
    }[kind]


def everywhere(value: Any) -> list[Any]:
    """Each operator with the value in each argument that is rendered."""
    names = ("list_id", "date_from", "date_to", "timezone", "altcraft_conn_id")
    pull: list[dict[str, Any]] = [{name: value} for name in names]
    pull += [{"target": value}, *({"target": target} for target in within("targets", value))]
    profiles = [
        *({name: value} for name in ("profiles", "shard", "on_profile_error", "max_failed_profiles", "concurrency")),
        *({"profiles": source} for source in within("profiles", value)),
        {"profiles": [ANN, value]},
        {"profiles": {"matching": "custom", "field_name": "CRM_ID", "field_value": value}},
        {"shard": (value, 2)},
    ]
    database: list[dict[str, Any]] = [
        {name: value} for name in ("fields", "lookback", "parallel_ranges", "parallel_partitions", "shard", "page_size")
    ]
    database += [{"shard": [0, value]}, {"fields": [value]}]
    events = ("actions", "profiles", "list_id", "since", "lookback", "timezone", "max_events", "altcraft_conn_id")
    sensor = [name for name in AltcraftActionSensor.template_fields if name not in {"profiles", "quorum"}]
    return [
        *((AltcraftHistoryOperator, each) for each in [*pull, *profiles]),
        *((AltcraftDatabaseHistoryOperator, each) for each in [*pull, *database]),
        *((AltcraftEventsOperator, {name: value}) for name in events),
        *((AltcraftActionSensor, {name: value}) for name in sensor),
        *((AltcraftActionSensor, each) for each in ({"profiles": [value]}, {"profiles": [ANN], "quorum": value})),
        (AltcraftActionSensor, {"actions": ["open", value]}),
    ]


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


def plain() -> list[str]:
    return [ANN]


def with_context(context: Any) -> list[str]:
    return [context["who"]]


def as_airflow_does(context: Any, jinja_env: Any) -> Any:
    yield jinja_env.from_string("{{ who }}").render(context)


class WithCall:
    def __call__(self, **given: Any) -> list[str]:
        return [given["context"]["who"]]


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


@NATIVE
@pytest.mark.parametrize(
    "function", [plain, with_context, as_airflow_does, lambda: [ANN], partial(with_context), WithCall()]
)
def test_profiles_by_a_callable(
    altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path, native: bool, function: Any
) -> None:
    connect(altcraft_api)
    altcraft_api.add_profile(email=ANN)
    altcraft_api.add_event(ANN, "open")
    who = {"who": ANN}
    target = str(tmp_path / "a.jsonl")
    history = rendered(AltcraftHistoryOperator, native, who, profiles=function, target=target)
    assert "example.com" not in str(history.profiles)  # rendered fields are shown to all
    assert history.execute({})["rows"] == 1
    for arguments in ({"profiles": function}, {"profile": function}):
        sensor = rendered(AltcraftActionSensor, native, who, since=None, timeout=0, **arguments)
        assert sensor.execute(run_context())


@pytest.mark.parametrize("kind", [AltcraftHistoryOperator, AltcraftEventsOperator, AltcraftActionSensor])
def test_a_callable_that_cannot_be_called_is_refused_at_parse(kind: Any) -> None:
    @task
    def who() -> list[str]:
        return [ANN]

    with pytest.raises(ValueError, match=r"profiles: expected a callable that takes nothing, or context and jinja_env"):
        made(kind, profiles=lambda day: [day])
    with pytest.raises(ValueError, match="profiles: expected profiles or a callable, got a task; call the task"):
        made(kind, profiles=who)


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


def test_paths_of_any_kind(tmp_path: Path) -> None:
    s3 = ObjectStoragePath("s3://lake@bucket/{{ ds }}/a.jsonl")
    for given, expected in (
        (tmp_path / "{{ ds }}.jsonl", f"{tmp_path}/day.jsonl"),
        (s3, "s3://lake@bucket/day/a.jsonl"),
    ):
        for kind in (AltcraftHistoryOperator, AltcraftDatabaseHistoryOperator):
            assert rendered(kind, context={"ds": "day"}, target=given).target == expected
            inside = rendered(kind, context={"ds": "day"}, target=ObjectStorageTarget(given)).target
            assert inside == ObjectStorageTarget(expected)
        source = rendered(AltcraftHistoryOperator, context={"ds": "day"}, profiles=FileProfiles(given)).profiles
        assert source == FileProfiles(expected)
    for path in (tmp_path / "a.jsonl", ObjectStoragePath(f"file://{tmp_path}/a.jsonl")):
        assert resolve_target(path) == ObjectStorageTarget(str(path))


def test_an_output_may_be_a_path(tmp_path: Path) -> None:
    for path in (tmp_path / "a.jsonl", ObjectStoragePath(f"file://{tmp_path}/a.jsonl")):
        operator = rendered(AltcraftHistoryOperator, True, {"x": path}, target="{{ x }}")
        assert resolve_target(operator.target) == ObjectStorageTarget(str(path))
        target = ObjectStorageTarget("{{ x }}")
        assert rendered(AltcraftHistoryOperator, True, {"x": path}, target=target).target.for_shard(0, 1).path == str(
            path
        )


def test_a_manifest_is_read_by_a_path(altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path) -> None:
    connect(altcraft_api)
    rendered(AltcraftHistoryOperator, target=f"{tmp_path}/folder/").execute({})
    assert read_manifest(tmp_path / "folder") == read_manifest(f"{tmp_path}/folder/")


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
