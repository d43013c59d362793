"""A source of profiles of the user's own, in a DAG that Airflow parses, stores and runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider.altcraft.testing import Emulator
from tests.system.test_examples import NOON, ROOT, load, run

PEOPLE = ["ann@example.com", "bob@example.com"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, altcraft_api: Emulator, connect: Callable[..., str]) -> Path:
    monkeypatch.setenv("OWN_SOURCE_TARGET", f"{tmp_path}/a.jsonl")
    connect(altcraft_api)
    for email in PEOPLE:
        altcraft_api.add_profile(email=email)
        altcraft_api.add_event(email, "open", at=NOON)
    return tmp_path / "a.jsonl"


@pytest.mark.usefixtures("airflow_db")
def test_in_a_run(place: Path) -> None:
    dag = load("own_source", ROOT / "tests" / "system" / "dags")
    state, tasks, returned = run(dag)
    assert (state, tasks) == ("success", {"pull": "success"})
    assert returned["pull"]["profiles"] == 2
    rows = [json.loads(line) for line in place.read_text().splitlines()]
    assert [row["lookup"] for row in rows] == PEOPLE


@pytest.mark.usefixtures("airflow_db")
def test_that_gives_what_is_no_profile(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    dag = load("own_source", ROOT / "tests" / "system" / "dags")
    (task,) = dag.tasks
    monkeypatch.setattr(type(task.profiles), "lookups", lambda *_: [{"emial": "ann@example.com"}])
    state, _, _ = run(dag)
    assert state == "failed"
    assert "profiles: People.lookups(): profiles[0]: " in "".join([*capfd.readouterr(), caplog.text])
    assert not place.exists()
