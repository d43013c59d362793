"""A backfill day by day, by mapped tasks or by a run for each date, leaves the rows of one pull of all the days."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.extract.sources import PlatformProfiles
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.testing import Emulator
from tests.system.test_examples import ROOT, load, run

FIRST = dt.date(2025, 1, 1)
Row = dict[str, Any]

pytestmark = [
    pytest.mark.usefixtures("airflow_db"),
    pytest.mark.timeout(3600),
    pytest.mark.parametrize("days", [4, pytest.param(365, marks=pytest.mark.soak)]),
    pytest.mark.parametrize("kind", ["objects", "table"]),
]


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str], days: int) -> Emulator:
    connect(altcraft_api, timeout=60)  # an answer of a whole year is large
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    # A day more at each end, whose events are of no day that is pulled.
    altcraft_api.seed(profiles=6, events_per_profile=20 * days, start=start - dt.timedelta(days=1), days=days + 2)
    for number in range(days + 1):  # on the borders themselves
        altcraft_api.add_event("user0@example.com", "open", at=start + dt.timedelta(days=number))
    return altcraft_api


class Place:
    """Objects of a day each, or a table."""

    def __init__(self, kind: str, folder: Path, conn_id: str) -> None:
        self.folder = folder
        self.database = folder.with_suffix(".db")
        self.uri = f"sql://{conn_id}/events" if kind == "table" else f"file://{folder}/{{date}}.parquet"

    def rows(self) -> list[Row]:
        if self.database.exists():
            with contextlib.closing(sqlite3.connect(self.database)) as connection:
                connection.row_factory = sqlite3.Row
                found = [dict(row) for row in connection.execute("SELECT * FROM events")]
            for row in found:
                row["datetime"] = dt.datetime.fromisoformat(row["datetime"]).replace(tzinfo=dt.UTC)
        else:
            found = [row for path in self.folder.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
        return sorted(found, key=lambda row: str(row["event_key"]))


@pytest.fixture
def places(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Place]:
    made = []
    for name in ("whole", "daily"):
        place = Place(kind, tmp_path / name, f"backfill_{name}")
        connection = {"conn_type": "sqlite", "host": str(place.database)}
        monkeypatch.setenv(f"AIRFLOW_CONN_BACKFILL_{name.upper()}", json.dumps(connection))
        made.append(place)
    return made


def at_once(place: Place, days: int) -> list[Row]:
    last = FIRST + dt.timedelta(days=days - 1)
    pull(place.uri, str(FIRST), str(last))
    found = place.rows()
    assert len(found) > 60 * days
    assert {row["datetime"].date() for row in found} == {FIRST + dt.timedelta(days=number) for number in range(days)}
    return found


def pull(target: str, date_from: str, date_to: str, **context: str) -> None:
    operator = AltcraftHistoryOperator(
        task_id="pull", profiles=PlatformProfiles(), target=target, date_from=date_from, date_to=date_to
    )
    operator.render_template_fields(context)  # type: ignore[arg-type]
    operator.execute({})


def test_mapped(api: Emulator, places: list[Place], days: int, kind: str) -> None:
    whole, daily = places
    wanted = at_once(whole, days)
    began = time.monotonic()
    state, _, values = run(load("backfill", ROOT / "tests" / "system" / "dags"), days=days, target=daily.uri)
    print(f"\n{days} mapped tasks into {kind}: {time.monotonic() - began:.0f} s")
    assert state == "success"
    assert len(values["pull"]) == days
    assert daily.rows() == wanted


def test_a_run_for_each_date(api: Emulator, places: list[Place], days: int, kind: str) -> None:
    """Newest first, as a backfill may go, and some dates again."""
    whole, daily = places
    wanted = at_once(whole, days)
    began = time.monotonic()
    for number in [*reversed(range(days)), 0, days // 2]:
        pull(daily.uri, "{{ ds }}", "{{ ds }}", ds=str(FIRST + dt.timedelta(days=number)))
    print(f"\n{days} runs into {kind}: {time.monotonic() - began:.0f} s")
    assert daily.rows() == wanted
