"""Names of actions that the platform does not document: taken, and warned of in the DAG's log and the task's."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider.altcraft.client import Action
from airflow_provider.altcraft.operators import events as events_module
from airflow_provider.altcraft.operators.events import AltcraftEventsOperator, events_since_last_run
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.triggers.action import AltcraftActionEventTrigger, AltcraftActionTrigger
from tests.unit.sensors.modes import DUE, Store, outcome, sensor

CONFIM = "actions: 'confim' is not a documented action; did you mean 'confirm'?"


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    altcraft_api.add_event("ann@example.com", "confim", at=DUE)
    return altcraft_api


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    caplog.clear()
    return sorted({each for each in said if "documented" in each})


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_sensor(api: Emulator, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    task = sensor(mode, actions=["confim", "web_version_save"], fail_on="Complain")
    said = [
        CONFIM,
        "actions: 'web_version_save' is not a documented action",
        "fail_on: 'Complain' is not a documented action; did you mean 'complain'?",
    ]
    assert warned(caplog) == said
    assert outcome(task)[0] == "success"
    assert warned(caplog) == said


def test_next_to_a_template(caplog: pytest.LogCaptureFixture) -> None:
    sensor("poke", actions="confim", message_id="{{ params.message }}")
    assert warned(caplog) == [CONFIM]


def test_of_a_mapped_task(caplog: pytest.LogCaptureFixture) -> None:
    with DAG("mapped", schedule=None):
        AltcraftActionSensor.partial(task_id="wait", actions=["confim"]).expand(profile=["a@example.com"])
        AltcraftActionSensor.partial(task_id="known", actions="confirm").expand(profile=["a@example.com"])
    assert warned(caplog) == [CONFIM]


def test_events_when_they_are_asked_for(
    api: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events_module, "Variables", Store)
    dag = SimpleNamespace(max_active_runs=1)
    task = SimpleNamespace(max_active_tis_per_dag=None, iter_mapped_dependants=lambda: iter(()))
    about = {"dag": dag, "task": task, "run_id": "r", "dag_run": SimpleNamespace(run_after=DUE)}
    ti = SimpleNamespace(dag_id="d", task_id="t", map_index=-1)
    with events_since_last_run(about | {"ti": ti}, actions="confim") as events:
        assert len(events) == 1
    assert warned(caplog) == [CONFIM]


def test_a_template_is_warned_of_when_it_is_known(api: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    task = sensor("poke", actions="{{ params.action }}")
    assert warned(caplog) == []
    task.actions = "confim"
    outcome(task)
    assert warned(caplog) == [CONFIM]


@pytest.mark.parametrize(
    "make",
    [
        lambda: AltcraftEventsOperator(task_id="events", actions="confim"),
        lambda: AltcraftActionEventTrigger(actions=["confim"]),
    ],
)
def test_events_operator_and_watcher(make: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    make()
    assert warned(caplog) == [CONFIM]


async def _first(trigger: AltcraftActionTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    return None


def test_trigger(api: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    trigger = AltcraftActionTrigger(
        altcraft_conn_id="altcraft_default",
        condition={"actions": ["confim"]},
        deadline=(dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)).isoformat(),
        poke_interval=1,
        profile={"matching": "email", "email": "ann@example.com"},
    )
    assert asyncio.run(_first(trigger))["status"] == "met"
    assert warned(caplog) == [CONFIM]


def test_what_is_documented_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    sensor("poke", actions=[*Action][:-1], fail_on=[*Action][-1])
    assert warned(caplog) == []
