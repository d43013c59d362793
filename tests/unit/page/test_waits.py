"""What the page makes of the record that a wait keeps."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from airflow_provider.altcraft.page._instance import Instance
from airflow_provider.altcraft.page._wait_view import open_waits, wait_view
from airflow_provider.altcraft.waiting.condition import ActionCondition
from airflow_provider.altcraft.waiting.state import Pauses, WaitState

NOW = dt.datetime(2026, 1, 14, tzinfo=dt.UTC)


def record(profiles: int = 3, hours: float = 2, **more: Any) -> dict[str, Any]:
    """As a sensor keeps it."""
    wait = WaitState(
        profiles=[{"matching": "email", "email": f"ann{number}@example.com"} for number in range(profiles)],
        condition=ActionCondition("confirm"),
        quorum=2 if profiles > 1 else None,
        since=NOW,
        deadline=NOW + dt.timedelta(hours=hours),
        execution_deadline=None,
        pauses=Pauses(60),
    )
    return {**wait.progress(), **more}


def instance(wait: Any, **more: Any) -> Instance:
    base = {"dag_id": "shop", "run_id": "r", "task_id": "wait", "map_index": -1, "state": "deferred", "run_after": NOW}
    return Instance(wait=wait, started=NOW, ended=None, **(base | more))


def test_one_profile() -> None:
    view = wait_view(record(1))
    assert view is not None
    assert (view.status, view.until, view.bars) == ("waiting", "2026-01-14 02:00+00:00", [])
    assert view.since == "since 2026-01-14 00:00+00:00"
    assert "ann0" not in view.wait.whom


def test_a_cohort() -> None:
    view = wait_view(record(60, met=10, missing=50, status="timeout", since=None))
    assert view is not None
    assert (view.status, view.since, view.wait.required) == ("timed out", "of any time", 2)
    assert view.bars == [("met", 10, 166), ("missing", 50, 833)]
    assert (view.more_missing, view.more_met) == (0, 10)


@pytest.mark.parametrize("broken", [None, [], {}, {"whom": 1}, {"whom": "a", "what": "b", "until": "soon"}])
def test_what_is_no_record_is_not_shown(broken: Any) -> None:
    assert wait_view(broken) is None
    assert open_waits([instance(broken)], NOW) == []


def test_open_waits_are_listed_by_their_deadlines() -> None:
    waits = [
        instance(record(hours=5), task_id="later", map_index=3),
        instance(record(1, hours=0.5), task_id="soon"),
        instance(record(until="2026-01-13T23:00:00"), task_id="over"),
    ]
    found = open_waits(waits, NOW)
    assert [(each.task, each.left) for each in found] == [
        ("over", "over"),
        ("soon", "30 min 0 s"),
        ("later [3]", "5 h 0 min"),
    ]
    assert found[-1].href == "task?dag_id=shop&run_id=r&task_id=later&map_index=3"


@pytest.mark.parametrize(
    ("status", "listed"), [("waiting", 1), ("error", 1), ("met", 0), ("failed", 0), ("timeout", 0)]
)
def test_a_wait_that_has_ended_is_not_open(status: str, listed: int) -> None:
    """A cleared task is queued while its record of the try before is still there; after an error a retry goes on."""
    assert len(open_waits([instance(record(status=status), state="queued")], NOW)) == listed
