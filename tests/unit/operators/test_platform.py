"""The platform as newer public texts tell it: what a pull makes of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.exceptions import AirflowFailException

from airflow_provider.altcraft.client import AltcraftClient, CursorError
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.operators.whole_database import Connect, held, pulled, rows, run, seed, simple

ALL = "subscribers/history_get_all"
REFUSED = faults.error(400, "incorrect request: from_id is not valid")


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    return altcraft_api


class TestProfileNotFound:
    """An error that says that there is no such profile."""

    def pull(self, tmp_path: Path, **arguments: Any) -> dict[str, Any]:
        profiles = ["ann@example.com", "bob@example.com", "cid@example.com"]
        target = str(tmp_path / "some.parquet")
        return AltcraftHistoryOperator(task_id="pull", profiles=profiles, target=target, **arguments).execute({})

    @pytest.fixture(autouse=True)
    def ann(self, api: Emulator) -> None:
        api.unknown_profile = "error"
        api.add_event(api.add_profile(email="ann@example.com"), "open")

    def test_is_an_empty_history(self, api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        result = self.pull(tmp_path)
        assert (result["rows"], result["profiles"], result["failed_profiles"]) == (1, 3, [])
        assert "answered 2 times that it has no such profile" in caplog.text

    def test_or_an_error(self, api: Emulator, connect: Connect, tmp_path: Path) -> None:
        connect(api, on_missing_profile="error")
        with pytest.raises(AirflowFailException, match="no such profile"):
            self.pull(tmp_path)
        result = self.pull(tmp_path, on_profile_error="skip")
        assert (result["rows"], len(result["failed_profiles"])) == (1, 2)


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("cursor", ["exclusive", "inclusive"])
def test_pages_with_more_rows_than_the_limit(
    api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, cursor: Any, partitions: int
) -> None:
    seed(api)
    api.cursor, api.limit_counts = cursor, "profiles"
    result = run(tmp_path, page_size=5, parallel_partitions=partitions)
    assert simple(rows(tmp_path / "all.parquet")) == held(api)
    assert result["partition_fallback_reason"] is None
    ours = [each for each in caplog.records if each.name.startswith("airflow_provider.")]
    assert not [each for each in ours if each.levelname == "WARNING"]


def test_nine_digits_of_a_fraction(api: Emulator, tmp_path: Path) -> None:
    seed(api, profiles=3)
    expected = pulled(tmp_path, parallel_ranges=2)
    api.fraction_digits = 9
    assert pulled(tmp_path, parallel_ranges=2) == expected


class TestRefusedCursor:
    """A cursor that the platform gave and then refuses."""

    @pytest.mark.parametrize("target", ["all.parquet", "parts/"])
    @pytest.mark.parametrize("arguments", [{"parallel_ranges": 1}, {"parallel_ranges": 3}, {"parallel_partitions": 2}])
    def test_all_is_walked_again(
        self, api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, arguments: dict[str, Any], target: str
    ) -> None:
        seed(api)
        api.play(*[faults.ok()] * 9, REFUSED, method=ALL)
        result = run(tmp_path, page_size=20, target=f"{tmp_path}/{target}", **arguments)
        assert result["rows"] == held(api).total()
        assert "refuses a cursor that it gave" in caplog.text
        assert simple(rows(tmp_path / target)) == held(api)

    def test_once(self, api: Emulator, tmp_path: Path) -> None:
        seed(api)
        api.play(faults.ok(), REFUSED, faults.ok(), REFUSED, method=ALL)
        with pytest.raises(CursorError):
            run(tmp_path, page_size=20, parallel_ranges=1)
        assert list(tmp_path.iterdir()) == []

    def test_what_is_refused_for_good(self, api: Emulator, tmp_path: Path) -> None:
        seed(api)

        def revoke(envelope: dict[str, Any]) -> dict[str, Any]:
            api.play_forever(faults.error(400, "no database 1"), method=ALL)
            return envelope

        api.play(faults.Fault("revoke", envelope=revoke), method=ALL)
        with pytest.raises(AirflowFailException, match="no database 1"):
            run(tmp_path, page_size=20, parallel_ranges=1)

    def test_a_walk_whose_events_were_given(self, api: Emulator) -> None:
        seed(api)
        api.play(faults.ok(), REFUSED, method=ALL)
        with AltcraftClient(api.url, api.token, list_id=1) as client:
            walk = client.iter_database_history(date_from="2026-01-01", date_to="2026-02-01", page_size=20)
            assert len([next(walk) for _ in range(20)]) == 20
            with pytest.raises(CursorError, match="refuses a cursor"):
                next(walk)


def between_pages(api: Emulator, change: Callable[[], None]) -> faults.Fault:
    def then(envelope: dict[str, Any]) -> dict[str, Any]:
        change()
        return envelope

    return faults.Fault("between", envelope=then)


class TestBetweenTwoPages:
    """Profiles that are deleted or merged while the database is walked."""

    @pytest.mark.parametrize("cursor_of_deleted", ["taken", "refused"])
    def test_deleted(self, api: Emulator, tmp_path: Path, cursor_of_deleted: Any) -> None:
        seed(api)
        api.cursor_of_deleted = cursor_of_deleted
        victim = next(row["xxh"] for index, row in enumerate(api.events(date_from=dt.date(2026, 1, 4))) if index == 19)
        api.play(between_pages(api, lambda: api.delete_profile(victim)), method=ALL)
        result = run(tmp_path, page_size=20, parallel_ranges=1)
        others = [row for row in rows(tmp_path / "all.parquet") if row["xxh"] != victim]
        assert simple(others) == held(api)
        # What its last page brought is kept, unless the walk had to begin again.
        assert (result["rows"] > len(others)) == (cursor_of_deleted == "taken")

    def test_merged(self, api: Emulator, tmp_path: Path) -> None:
        """Of an event that moves ahead of the walk both are there: under the old ``xxh`` and under the new one."""
        ann = api.add_profile(email="ann@example.com", xxh="a" * 16)
        bob = api.add_profile(email="bob@example.com", xxh="b" * 16)
        for minute in range(6):
            api.add_event((ann, bob)[minute % 2], "open", at=dt.datetime(2026, 1, 6, 0, minute, tzinfo=dt.UTC))
        api.play(between_pages(api, lambda: api.merge_profiles(bob, ann)), method=ALL)
        found = pulled(tmp_path, page_size=3, parallel_ranges=1)
        assert [row["xxh"][0] for row in found].count("a") == 3
        assert len({row["event_id"] for row in found}) == 6
        assert len({row["event_key"] for row in found}) == len(found) == 9


def test_a_backdated_event_comes_with_the_lookback(api: Emulator, tmp_path: Path) -> None:
    target = f"{tmp_path}/{{date}}.jsonl"
    ann = api.add_profile(email="ann@example.com")
    api.add_event(ann, "open", at=dt.datetime(2026, 1, 5, 9, tzinfo=dt.UTC))
    run(tmp_path, "2026-01-05", "2026-01-05", target=target, lookback="P2D")
    api.add_event(ann, "goal", at=dt.datetime(2026, 1, 4, 9, tzinfo=dt.UTC))
    assert run(tmp_path, "2026-01-06", "2026-01-06", target=target, lookback="P2D")["rows"] == 2
    assert "goal" in (tmp_path / "2026-01-04.jsonl").read_text()


def test_an_accounts_zone(api: Emulator, tmp_path: Path) -> None:
    seed(api, profiles=3)
    api.timezone = "Pacific/Auckland"
    assert simple(pulled(tmp_path, parallel_ranges=3)) == held(api)


def test_no_get_where_the_slash_redirects(api: Emulator) -> None:
    api.missing_slash = "redirected"
    with AltcraftClient(api.url, api.token) as client:
        assert [each.id for each in client.list_databases()] == [1]
        assert client.get_database(1).name == "Database #1"
    assert {request.method for request in api.requests} == {"databases/list/", "databases/get/"}
