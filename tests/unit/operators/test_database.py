"""The operator of a whole database against the emulator: every event of the window once, however it is walked."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider.altcraft.client import UnreadableAnswerError
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.extract import _progress
from airflow_provider.altcraft.extract.database.pull import DatabasePull
from airflow_provider.altcraft.extract.database.ranges import cut
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.testing import Emulator, faults
from airflow_provider.altcraft.window import Window
from tests.unit.operators.whole_database import (
    START,
    Connect,
    Target,
    changed,
    held,
    identified,
    pulled,
    rows,
    run,
    seed,
    simple,
)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    return altcraft_api


def shards_of(tmp_path: Path, count: int) -> list[list[dict[str, Any]]]:
    """The rows of each shard, which writes a file of its own."""
    for index in range(count):
        run(tmp_path, shard=(index, count), page_size=40, target=str(tmp_path / "{shard}.parquet"))
    return [rows(path) for path in sorted(tmp_path.glob("0*-of-*.parquet"))]


class TestEveryEventOnce:
    """Whatever the platform's habits are."""

    @pytest.mark.parametrize("hours", [14, 0, -12])
    @pytest.mark.parametrize("inclusive", [True, False])
    def test_whatever_its_days_mean(self, api: Emulator, tmp_path: Path, hours: int, inclusive: bool) -> None:
        seed(api, profiles=6)
        api.timezone, api.date_to_inclusive = dt.timezone(dt.timedelta(hours=hours)), inclusive
        assert simple(pulled(tmp_path, parallel_ranges=11)) == held(api)
        assert simple(pulled(tmp_path, parallel_ranges=2)) == held(api)

    @pytest.mark.parametrize("cursor", ["exclusive", "inclusive"])
    @pytest.mark.parametrize("style", ["new", "old"])
    def test_whatever_its_cursors_and_rows_are(self, api: Emulator, tmp_path: Path, cursor: Any, style: Any) -> None:
        seed(api)
        ann = api.add_profile(email="ann@example.com")
        for _ in range(30):  # alike in everything, over several pages
            api.add_event(ann, "click", at=START + dt.timedelta(days=6), event_id="one")
        api.cursor, api.style = cursor, style
        walks: list[dict[str, Any]] = [
            {},
            {"parallel_ranges": 3, "page_size": 70},
            {"parallel_partitions": 3, "page_size": 50},
        ]
        found = [pulled(tmp_path, **how) for how in walks]
        assert simple(found[0]) == held(api)
        assert len({row["event_key"] for row in found[0]}) == len(found[0])
        assert identified(found[0]) == identified(found[1]) == identified(found[2])

    def test_keys_are_those_of_the_same_events_by_profile(self, api: Emulator, tmp_path: Path) -> None:
        seed(api, profiles=5)
        api.style = "old"
        api.add_event("user1@example.com", "click", at=START + dt.timedelta(days=6))
        api.add_event("user1@example.com", "click", at=START + dt.timedelta(days=6))
        emails = [f"{name}{number}@example.com" for name in ("user", "more") for number in range(5)]
        other = tmp_path / "profiles.parquet"
        days = {"date_from": "2026-01-05", "date_to": "2026-01-15"}
        AltcraftHistoryOperator(task_id="other", profiles=emails, target=str(other), **days).execute({})
        keys = Counter(row["event_key"] for row in pulled(tmp_path, page_size=7, parallel_ranges=2))
        assert keys == Counter(row["event_key"] for row in rows(other))

    def test_an_instant_is_exact_and_its_end_outside(self, api: Emulator, tmp_path: Path) -> None:
        for second in range(4):
            api.add_event(api.add_profile(), "open", at=START + dt.timedelta(seconds=second))
        window = {"date_from": START + dt.timedelta(seconds=1), "date_to": START + dt.timedelta(seconds=3)}
        assert [row["datetime"].second for row in pulled(tmp_path, **window)] == [1, 2]

    def test_two_pulls_are_byte_for_byte_alike(self, api: Emulator, tmp_path: Path) -> None:
        seed(api)
        for suffix in (".parquet", ".jsonl"):
            paths = [tmp_path / f"{number}{suffix}" for number in range(2)]
            for number, path in enumerate(paths):
                api.latency = 0.002 * number
                run(tmp_path, target=str(path), parallel_ranges=5, page_size=40)
            assert paths[0].read_bytes() == paths[1].read_bytes()

    def test_a_year_by_months_and_by_days_is_the_year_at_once(self, api: Emulator, tmp_path: Path) -> None:
        seed(api, profiles=4, events=120, days=365)
        whole = pulled(tmp_path, date_from="2026-01-01", date_to="2026-12-31")
        assert simple(whole) == held(api, "2026-01-01", "2026-12-31")
        months = [dt.date(2026, month, 1) for month in range(1, 13)] + [dt.date(2027, 1, 1)]
        by_month = [
            row
            for first, after in pairwise(months)
            for row in pulled(tmp_path, date_from=first, date_to=after - dt.timedelta(days=1))
        ]
        days = [START + dt.timedelta(days=number) for number in range(366)]
        by_day = asyncio.run(each_for_itself(api, [Window(*ends) for ends in pairwise(days)]))
        assert identified(whole) == identified(by_month) == identified(by_day)


async def each_for_itself(api: Emulator, windows: list[Window]) -> list[dict[str, Any]]:
    """The rows of a pull for each of the windows."""
    found: list[dict[str, Any]] = []
    async with BulkClient(api.url, api.token) as client:
        for window in windows:
            pull = DatabasePull(client, 1, window, cut(window, 1, [(0, 1)]))
            found += [row async for piece in pull.batches() if piece.batch for row in piece.batch.to_pylist()]
    return found


def test_the_result(api: Emulator, tmp_path: Path) -> None:
    seed(api, profiles=5)
    result = run(tmp_path, parallel_ranges=2, page_size=50)
    first, second = result.pop("ranges")
    assert result.pop("summary")["events"] == sum(held(api).values())
    assert result == {
        "uris": [f"file://{tmp_path}/all.parquet"],
        "rows": sum(held(api).values()),
        "bytes": (tmp_path / "all.parquet").stat().st_size,
        "window": {"start": "2026-01-05T00:00:00+00:00", "end": "2026-01-16T00:00:00+00:00"},
        "pages": len(api.requests),
        "partition_fallback_reason": None,
    }
    assert first["end"] == second["start"] == "2026-01-10T00:00:00+00:00"
    assert (first["rows"] + second["rows"], first["ended"]) == (result["rows"], "an empty page")


def test_a_field_that_no_event_has_is_warned_of(
    api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Misspelt, it costs no error: the platform passes over names that it does not know."""
    api.add_event(
        api.add_profile(custom={"CRM_ID": "7", "Город": "Ж"}), "open", at=dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
    )
    run(tmp_path, fields=["CRM_ID", "Город"])
    assert "fields:" not in caplog.text
    run(tmp_path, fields=["CRM_ID", "CRMID", "Город"])
    assert "fields: none of 1 event has 'CRMID'; check the spelling" in caplog.text


def test_fields_come_with_each_row(api: Emulator, tmp_path: Path) -> None:
    ann = api.add_profile(email="ann@example.com", custom={"CRM_ID": "7", "town": "Ж"})
    api.add_event(ann, "open", at=START, note="a")
    (row,) = pulled(tmp_path, date_from="2026-01-01", date_to="2026-01-01", fields=["CRM_ID", "town"])
    extra = json.loads(row["extra"])
    assert extra["fields"] == {"CRM_ID": "7", "town": "Ж"}
    assert extra["note"] == "a"
    assert (row["matching"], row["lookup"]) == (None, None)


def test_no_events_is_an_empty_object(api: Emulator, tmp_path: Path) -> None:
    for empty in ("list", "null", "absent"):
        api.empty_data = empty  # type: ignore[assignment]
        assert pulled(tmp_path) == []


def test_the_scope_is_the_whole_database(api: Emulator, tmp_path: Path) -> None:
    target = Target()
    run(tmp_path, target=target)
    assert (target.scope.list_id, target.scope.lookups) == (1, None)
    assert target.scope.window.to_json()["start"] == "2026-01-05T00:00:00+00:00"


class TestEnds:
    """How a walk may end early, and that the task says so."""

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"next_from_id": None}, "no cursor"),
            ({"next_from_id": ""}, "no cursor"),
        ],
    )
    def test_no_cursor(
        self, api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, Any], said: str
    ) -> None:
        seed(api, profiles=3)
        api.play(faults.ok(), changed(lambda envelope: envelope | change))
        result = run(tmp_path, parallel_ranges=1, page_size=20)
        (walk,) = result["ranges"]
        assert (walk["ended"], walk["rows_may_be_missing"], walk["pages"]) == (said, True, 2)
        assert "rows may be missing" in caplog.text

    def test_the_same_cursor_again(self, api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        seed(api, profiles=3)
        first: list[Any] = []

        def stuck(envelope: dict[str, Any]) -> dict[str, Any]:
            first.append(envelope["next_from_id"])
            return envelope | {"next_from_id": first[0]}

        api.play_forever(changed(stuck))
        (walk,) = run(tmp_path, parallel_ranges=1, page_size=20)["ranges"]
        assert (walk["ended"], walk["pages"]) == ("a cursor that was asked for before", 2)
        assert "rows may be missing" in caplog.text

    def test_a_page_that_cannot_be_read_is_asked_again(self, api: Emulator, tmp_path: Path) -> None:
        seed(api, profiles=3)

        def spoil(envelope: dict[str, Any]) -> dict[str, Any]:
            for row in envelope["data"][1:2]:  # the page after the last one, which is asked for early, has none
                del row["action"]
            return envelope

        api.play(faults.ok(), changed(spoil))
        assert simple(pulled(tmp_path, parallel_ranges=1, page_size=20)) == held(api)
        api.play_forever(changed(spoil))
        with pytest.raises(UnreadableAnswerError, match=r"data\[1\].action"):
            run(tmp_path)


class TestPartitions:
    """Parts of the space of ``xxh``, and a platform that they do not fit."""

    ODD: tuple[tuple[dict[str, str], str], ...] = (
        ({"database_order": "time"}, "order"),
        ({"composed_cursors": "refused"}, "refuses a composed cursor"),
        ({"composed_cursors": "ignored"}, "does not begin where"),
    )

    def test_side_by_side(self, api: Emulator, tmp_path: Path) -> None:
        seed(api)
        plain = pulled(tmp_path)
        result = run(tmp_path, parallel_partitions=4, page_size=40)
        assert identified(rows(tmp_path / "all.parquet")) == identified(plain)
        assert result["partition_fallback_reason"] is None
        assert [walk["ended"] for walk in result["ranges"]] == ["the end of its range"] * 3 + ["an empty page"]
        assert result["ranges"][1]["xxh_from"] == "4000000000000000"
        assert all(walk["rows"] for walk in result["ranges"])

    def test_one_for_each_mapped_task(self, api: Emulator, tmp_path: Path) -> None:
        seed(api)
        plain = pulled(tmp_path)
        parts = shards_of(tmp_path, 3)
        assert all(parts)
        with pytest.raises(AirflowFailException, match=r"is the same for all shards.*put \{shard\} into it"):
            run(tmp_path, shard=(0, 3))
        assert identified(row for part in parts for row in part) == identified(plain)

    @pytest.mark.parametrize(("odd", "why"), ODD)
    def test_a_platform_that_they_do_not_fit(
        self, api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, odd: dict[str, str], why: str
    ) -> None:
        seed(api)
        for name, value in odd.items():
            setattr(api, name, value)
        plain = pulled(tmp_path)
        assert simple(plain) == held(api)
        result = run(tmp_path, parallel_partitions=4, page_size=40)
        assert why in result["partition_fallback_reason"]
        assert "cannot be walked in parts" in caplog.text
        assert identified(rows(tmp_path / "all.parquet")) == identified(plain)
        parts = shards_of(tmp_path, 3)
        assert identified(row for part in parts for row in part) == identified(plain)

    def test_an_order_that_breaks_only_later(self, api: Emulator, tmp_path: Path) -> None:
        """What was written of the parts is dropped."""
        seed(api)

        def swap(envelope: dict[str, Any]) -> dict[str, Any]:
            envelope["data"].reverse()
            return envelope

        api.play(*[faults.ok()] * 8, changed(swap))
        result = run(tmp_path, parallel_partitions=4, page_size=40)
        assert "order" in result["partition_fallback_reason"]
        assert simple(rows(tmp_path / "all.parquet")) == held(api)

    def test_other_refusals_are_no_matter_of_order(self, api: Emulator, tmp_path: Path) -> None:
        api.revoke(1)
        with pytest.raises(AirflowFailException, match="403"):
            run(tmp_path, parallel_partitions=4)


def test_walks_go_side_by_side_within_the_connections(api: Emulator, connect: Connect, tmp_path: Path) -> None:
    connect(api, max_connections=3)
    seed(api)
    api.latency = 0.02
    run(tmp_path, parallel_ranges=11, page_size=100)
    assert len({request.peer for request in api.requests}) == 3


class TestRefused:
    """Wrong input ends before any request."""

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            ({"date_from": None}, "needs both"),
            ({"date_to": None}, "needs both"),
            ({"date_to": "2025-01-01"}, "is before date_from"),
            ({"lookback": -dt.timedelta(days=1)}, "lookback: expected whole days"),
            ({"lookback": dt.timedelta(hours=1)}, "lookback: expected whole days"),
            ({"lookback": 3}, "lookback: .*got the number 3, which has no unit"),
            ({"lookback": "P1M"}, "lookback: "),
            ({"lookback": True}, "lookback"),
            ({"parallel_ranges": 0}, "parallel_ranges: expected a whole number from 1"),
            ({"parallel_partitions": 0}, "parallel_partitions"),
            ({"page_size": 0}, "page_size"),
            ({"shard": (2, 2)}, "expected a number from 0 to below 2"),
            ({"shard": "1/2"}, "expected a pair"),
            ({"date_from": "2026-01-02T00:00Z", "date_to": "2026-01-02T00:00Z"}, "got one without length"),
            ({"shard": (0, 2), "parallel_partitions": 2}, "got both"),
            ({"fields": "CRM_ID"}, "fields: expected a list"),
        ],
    )
    def test_when_the_dag_is_parsed(self, arguments: dict[str, Any], why: str) -> None:
        given = {"target": "/tmp/all.parquet", "date_from": "2026-01-01", "date_to": "2026-01-02"} | arguments
        with pytest.raises(ValueError, match=why):
            AltcraftDatabaseHistoryOperator(task_id="pull", **given)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("date_to", None), ("shard", [5, 2]), ("fields", "CRM_ID"), ("target", "s3:nonsense")],
    )
    def test_when_a_template_renders_to_it(self, api: Emulator, tmp_path: Path, name: str, value: Any) -> None:
        given = {"target": str(tmp_path / "a.parquet"), "date_from": "2026-01-01", "date_to": "2026-01-02"}
        operator = AltcraftDatabaseHistoryOperator(task_id="pull", **given | {name: "{{ later }}"})
        setattr(operator, name, value)
        with pytest.raises(AirflowFailException):
            operator.execute({})
        assert api.requests == []


def test_a_long_walk_keeps_a_record_of_how_far_it_is(
    api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(api, profiles=6)
    monkeypatch.setattr(_progress, "EVERY", 0.2)
    api.play(faults.ok(), faults.latency(2))
    kept: list[Any] = []
    operator = AltcraftDatabaseHistoryOperator(
        task_id="pull", date_from="2026-01-01", date_to="2026-01-01", page_size=5, target=str(tmp_path / "a.parquet")
    )
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda key, value: kept.append((key, value)))}
    operator.execute(context)
    assert {key for key, _ in kept} == {"altcraft_pull"}
    found = next(record for _, record in kept if record["pages"])  # the last one may be of the walk's end
    assert (found["unit"], found["done"], found["seconds_left"]) == ("walk", 0, None)
    assert found["total"] >= 1
