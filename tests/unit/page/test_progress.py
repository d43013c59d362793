"""What the page makes of the record that a pull keeps."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest

from airflow_provider.altcraft.extract._progress import Progress, WalkProgress
from airflow_provider.altcraft.page._instance import Instance
from airflow_provider.altcraft.page._progress_view import open_pulls, progress_view

NOW = dt.datetime(2026, 1, 14, tzinfo=dt.UTC)


def instance(progress: Any, **more: Any) -> Instance:
    base = {"dag_id": "shop", "run_id": "r", "task_id": "pull", "map_index": -1, "state": "running", "run_after": NOW}
    return Instance(progress=progress, started=NOW, ended=None, **(base | more))


def test_profiles() -> None:
    progress = Progress(4_000)
    for _ in range(1_000):
        progress.done(3)
    view = progress_view({**progress.record(), "seconds": 100.0, "seconds_left": 300.0, "more": "than is known"})
    assert view is not None
    assert (view.done, view.length) == ("1,000 of 4,000 profiles", 250)
    assert (view.taken, view.left) == ("1 min 40 s", "5 min 0 s")
    assert view.progress.events == 3_000
    assert view.recorded_at.endswith(" UTC")


def test_walks() -> None:
    progress = WalkProgress(1)
    progress.page(1_000, ended=False)
    view = progress_view(progress.record())
    assert view is not None
    assert (view.done, view.length, view.left, view.progress.pages) == ("0 of 1 walk", 0, "", 1)


def test_a_line_says_the_time_left_however_short(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = Progress(2)
    now += 0.01
    assert "about" not in progress.line()  # nothing is done, so nobody knows
    progress.done(3)
    assert progress.line().endswith("(100 profiles a second, about 0 s left)")
    assert progress.record()["seconds_left"] == 0.0
    progress.done(3)
    assert "left" not in progress.line()


def test_nothing_to_do() -> None:
    view = progress_view(Progress(0).record())
    assert view is not None
    assert (view.done, view.length, view.left) == ("0 of 0 profiles", 0, "")


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {},
        {"unit": "profile"},
        {**Progress(1).record(), "done": -1},
        {**Progress(1).record(), "done": 10**5000},
        {**Progress(1).record(), "seconds": "inf"},
        {**Progress(1).record(), "seconds_left": "NaN"},
    ],
    ids=str(list(range(8))).strip("[]").split(", "),
)
def test_what_is_no_record_is_not_shown(broken: Any) -> None:
    assert progress_view(broken) is None
    assert open_pulls([instance(broken)]) == []


def test_open_pulls() -> None:
    (found,) = open_pulls([instance(Progress(2).record(), map_index=3)])
    assert (found.dag_id, found.task) == ("shop", "pull [3]")
    assert found.href == "task?dag_id=shop&run_id=r&task_id=pull&map_index=3"
