"""Names of actions that the platform does not document: taken, and warned of in the DAG's log and the task's."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider.altcraft.client import Action
from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.triggers.action import AltcraftActionEventTrigger, AltcraftActionTrigger
from tests.unit.sensors.modes import DUE, outcome, sensor

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
