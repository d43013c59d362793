"""The sensor's three modes on a real Airflow: the same state and the same XCom."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider.altcraft.testing import Emulator, faults
from tests.system.test_examples import ROOT, load, run

pytestmark = pytest.mark.usefixtures("airflow_db")


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    return altcraft_api


@pytest.fixture
def dag() -> Any:
    return load("waits", ROOT / "tests" / "system" / "dags")


def states(dag: Any) -> dict[str, str]:
    return run(dag)[1]


def test_met(api: Emulator, dag: Any) -> None:
    api.play(*[faults.null_data()] * 4)  # looks in vain
    api.add_event("ann@example.com", "form_post", at=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1), message_id=7)
    _, found, values = run(dag)
    assert found == {"poke": "success", "reschedule": "success", "deferrable": "success"}
    assert [event["message_id"] for event in values["poke"]] == [7]
    assert values["poke"] == values["reschedule"] == values["deferrable"]
    assert len(api.requests) == 7


@pytest.mark.parametrize(("soft_fail", "state"), [(False, "failed"), (True, "skipped")])
def test_timed_out(api: Emulator, dag: Any, soft_fail: bool, state: str) -> None:
    for task in dag.tasks:
        task.timeout, task.soft_fail = 1.5, soft_fail
    assert set(states(dag).values()) == {state}
    assert len(api.requests) >= 6


def test_contrary(api: Emulator, dag: Any) -> None:
    api.add_event("ann@example.com", "complain", at=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1))
    for task in dag.tasks:
        task.fail_on, task.retries = ["complain"], 3
    assert set(states(dag).values()) == {"failed"}
    assert len(api.requests) == 3


def test_no_rights(api: Emulator, dag: Any) -> None:
    api.revoke(1)
    for task in dag.tasks:
        task.soft_fail, task.retries = True, 3
    assert set(states(dag).values()) == {"failed"}
    assert len(api.requests) == 3
