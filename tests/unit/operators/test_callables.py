"""Callables as profiles: what they may take, and which are refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import task

from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.testing import Emulator
from tests.unit.operators.rendering import (
    ANN,
    NATIVE,
    made,
    rendered,
)
from tests.unit.sensors.modes import context as run_context


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
