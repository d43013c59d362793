"""Numbers with their nouns, places and windows as logs give them; and what a pull says before it asks."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_provider.altcraft._words import counted, duration, places
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.window import Window

MOSCOW = ZoneInfo("Europe/Moscow")
PACKAGE = Path(__file__).parents[2] / "airflow_provider"


def test_counted() -> None:
    given = [counted(0, "row"), counted(1, "row"), counted(2000, "row")]
    assert given == ["0 rows", "1 row", "2,000 rows"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.5, "0.5 s"), (60, "60 s"), (90, "90 s"), (900, "15 min"), (86_400, "24 h"), (259_200, "3 days")],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_no_text_puts_a_plural_in_brackets() -> None:
    found = [path.name for path in PACKAGE.rglob("*.py") if re.search(r"[a-z]\(s\)", path.read_text())]
    assert found == []


def test_places() -> None:
    assert places(["file:///tmp/history/_manifest.json"]) == "file:///tmp/history/"
    assert places(["a", "b"]) == "a, b"
    assert places([f"day{number}" for number in range(365)]) == "365 objects, day0 to day364"


def test_a_window_in_the_users_zone() -> None:
    day = Window.of("2026-11-01", "2026-11-01", MOSCOW)
    assert day.words == "from 2026-11-01 00:00:00+03:00 to before 2026-11-02 00:00:00+03:00"
    assert Window.of("2026-11-01", None, MOSCOW).words == "from 2026-11-01 00:00:00+03:00"
    assert Window.of(None, "2026-11-01").words == "before 2026-11-02 00:00:00+00:00"
    assert Window().words == "of any time"
    assert Window.of("0001-01-01", None, ZoneInfo("America/New_York")).words.startswith("from 0001-01-01")


@pytest.fixture
def said(altcraft_api: Emulator, connect: Callable[..., str], caplog: pytest.LogCaptureFixture) -> Any:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    caplog.set_level(logging.INFO, "airflow_provider")

    def run(kind: Any, **arguments: Any) -> list[str]:
        caplog.clear()
        kind(task_id="pull", **arguments).execute({})
        return [each.getMessage() for each in caplog.records if each.name.startswith("airflow_provider")]

    return run


def test_a_pull_of_profiles(said: Any, tmp_path: Path) -> None:
    folder = f"{tmp_path}/parts/"
    days = {"date_from": "2026-11-01", "date_to": "2026-11-02", "timezone": "Europe/Moscow"}
    first, *_, last = said(AltcraftHistoryOperator, profiles=["ann@example.com"], target=folder, **days)
    window = "events from 2026-11-01 00:00:00+03:00 to before 2026-11-03 00:00:00+03:00"
    assert first == f"Pulling 1 profile of database 1 by 1 request; {window}"
    assert re.match(r"1 of 1 profile, 0 events in \d", last)
    assert last.endswith(f"; written to file://{folder}")
    two = ["ann@example.com", "bob@example.com"]
    first, *_ = said(AltcraftHistoryOperator, profiles=two, target=f"{tmp_path}/a.parquet", concurrency=2)
    assert first == "Pulling 2 profiles of database 1 by 2 requests, 2 at once; events of any time"


def test_a_pull_of_a_database(said: Any, tmp_path: Path) -> None:
    days = {"date_from": "2026-11-01", "date_to": "2026-11-01", "timezone": "Europe/Moscow"}
    first, *_ = said(AltcraftDatabaseHistoryOperator, target=f"{tmp_path}/a.parquet", page_size=500, **days)
    window = "events from 2026-11-01 00:00:00+03:00 to before 2026-11-02 00:00:00+03:00"
    assert re.fullmatch(
        rf"Pulling all of database 1 by 1 walk over \d days, in pages of 500 rows; {re.escape(window)}", first
    )
