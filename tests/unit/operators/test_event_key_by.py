"""Keys of the ``event_id`` alone, for those who know that theirs is unique."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from airflow.exceptions import AirflowFailException

from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.targets.dlt import DltTarget
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.operators.whole_database import Connect, Target, changed, pulled, rows, run

AT = dt.datetime(2026, 1, 6, 12, tzinfo=dt.UTC)
BY_ID = {"event_key_by": "event_id"}


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    for name in ("ann", "bob"):
        profile = altcraft_api.add_profile(email=f"{name}@example.com")
        for minute in range(5):
            altcraft_api.add_event(profile, "open", at=AT + dt.timedelta(minutes=minute))
    return altcraft_api


@pytest.fixture(params=["sql", "dlt"])
def table(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A target that merges, and the number of its rows."""
    if request.param == "sql":
        place = tmp_path / "merged.db"
        monkeypatch.setenv("AIRFLOW_CONN_MERGED", json.dumps({"conn_type": "sqlite", "host": str(place)}))
        return (
            "sql://merged/events",
            lambda: sqlite3.connect(place).execute("SELECT count(*) FROM events").fetchone()[0],
        )
    duckdb = pytest.importorskip("duckdb")
    place = tmp_path / "merged.duckdb"
    monkeypatch.setenv("AIRFLOW_CONN_MERGED", json.dumps({"conn_type": "duckdb", "host": str(place)}))

    def count() -> int:
        with duckdb.connect(str(place)) as connection:
            return int(connection.execute("SELECT count(*) FROM main_set.events").fetchone()[0])

    return DltTarget("main_set.events", conn_id="merged"), count


def profiles(target: Any, **arguments: Any) -> dict[str, Any]:
    people = ["ann@example.com", "bob@example.com"]
    days = {"date_from": "2026-01-06", "date_to": "2026-01-06"}
    operator = AltcraftHistoryOperator(task_id="pull", profiles=people, target=target, **days, **arguments)
    result: dict[str, Any] = operator.execute({})
    return result


def test_the_same_by_profile_and_by_database_and_other_than_by_row(api: Emulator, tmp_path: Path) -> None:
    by_row = {row["event_id"]: row["event_key"] for row in pulled(tmp_path)}
    by_id = {row["event_id"]: row["event_key"] for row in pulled(tmp_path, **BY_ID)}
    profiles(str(tmp_path / "some.parquet"), **BY_ID)
    assert by_id == {row["event_id"]: row["event_key"] for row in rows(tmp_path / "some.parquet")}
    assert len(set(by_id.values())) == 10
    assert all(len(key) == 32 and key[0] == "i" for key in by_id.values())
    assert all(key[0] != "i" for key in by_row.values())


@pytest.mark.parametrize("unusual", [False, True])
def test_an_event_that_moved_or_changed_stays_one(api: Emulator, tmp_path: Path, table: Any, unusual: bool) -> None:
    """Also where the models read the answer."""
    target, count = table
    if unusual:
        api.play_forever(faults.charset("windows-1251"))
    run(tmp_path, target=target, **BY_ID)
    api.merge_profiles("ann@example.com", "bob@example.com")

    def other(envelope: dict[str, Any]) -> dict[str, Any]:
        return envelope | {"data": [row | {"campaign_id": 7, "smid": "other"} for row in envelope["data"]]}

    if not unusual:
        api.play_forever(changed(other))
    assert run(tmp_path, target=target, **BY_ID)["rows"] == 10
    assert profiles(target, **BY_ID)["rows"] == 20
    assert count() == 10


@pytest.mark.parametrize("unusual", [False, True])
def test_an_event_that_is_there_twice_is_one(api: Emulator, tmp_path: Path, unusual: bool) -> None:
    again = api.add_event("ann@example.com", "click", at=AT)
    changes = {"xxh": "f" * 16, "campaign_id": 9, "event_id": again["event_id"]}
    api.add_event("ann@example.com", "click", at=AT, **(changes | ({"count": "1"} if unusual else {})))
    found = [row for row in pulled(tmp_path, **BY_ID) if row["action"] == "click"]
    assert len(found) == 1
    assert len([row for row in pulled(tmp_path) if row["action"] == "click"]) == 2


@pytest.mark.parametrize("difference", [{"action": "click"}, {"datetime": "2026-01-06T23:00:00Z"}])
@pytest.mark.parametrize("unusual", [False, True])
def test_an_event_id_that_is_not_unique(
    api: Emulator, tmp_path: Path, difference: dict[str, Any], unusual: bool
) -> None:
    first = api.add_event("ann@example.com", "open", at=AT)
    more = {"event_id": first["event_id"]} | difference | ({"count": "1"} if unusual else {})
    api.add_event("ann@example.com", more.pop("action", "open"), at=AT, **more)
    with pytest.raises(AirflowFailException, match=f'have the event_id "{first["event_id"]}", so it is not unique'):
        pulled(tmp_path, **BY_ID)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", [..., ""])
def test_events_without_one(api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, missing: Any) -> None:
    for _ in range(2):
        api.add_event("ann@example.com", "click", at=AT, event_id=missing)
    without = [row for row in pulled(tmp_path, **BY_ID) if row["action"] == "click"]
    assert "2 events without one" in caplog.text or missing == ""
    assert without == [row for row in pulled(tmp_path) if row["action"] == "click"]
    assert len({row["event_key"] for row in without}) == 2


@pytest.mark.parametrize(("first", "second"), [("row", "event_id"), ("event_id", "row")])
def test_a_merge_keeps_to_one_kind(api: Emulator, tmp_path: Path, table: Any, first: Any, second: Any) -> None:
    target, count = table
    run(tmp_path, target=target, event_key_by=first)
    asked = api.request_count
    with pytest.raises(
        AirflowFailException, match=f"holds events of this list and window by '{first}', got '{second}'"
    ):
        run(tmp_path, target=target, event_key_by=second)
    assert (count(), api.request_count) == (10, asked)
    run(tmp_path, "2026-03-01", "2026-03-02", target=target, event_key_by=second)


def test_the_scope_says_so(api: Emulator, tmp_path: Path) -> None:
    target = Target()
    run(tmp_path, target=target, **BY_ID)
    assert target.scope.event_key_by == "event_id"


def test_another_word(tmp_path: Path) -> None:
    for make in (
        lambda: run(tmp_path, event_key_by="id"),
        lambda: profiles(str(tmp_path / "x.parquet"), event_key_by="id"),
        lambda: AltcraftEventsOperator(task_id="events", actions="open", event_key_by="id"),
    ):
        with pytest.raises(ValueError, match="event_key_by: expected 'row' or 'event_id', got 'id'"):
            make()
