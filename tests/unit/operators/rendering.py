"""Operators and the sensor as Airflow renders them in tests, and each of their arguments that it renders."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider.altcraft.extract.sources import FileProfiles, PlatformProfiles, SqlProfiles
from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.targets import ObjectStorageTarget, SqlTarget
from airflow_provider.altcraft.targets.dlt import DltTarget

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
