"""The operator of a whole database against the emulator: every event of the window once, however it is walked."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider.altcraft.client import UnreadableAnswerError
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.extract._ranges import cut
from airflow_provider.altcraft.extract.database import DatabasePull
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.targets import Scope, Written
from airflow_provider.altcraft.testing import Emulator, faults
from airflow_provider.altcraft.window import Window

Connect = Callable[..., str]
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    return altcraft_api


def seed(api: Emulator, profiles: int = 20, events: int = 40, days: int = 20) -> None:
    """Events of profiles all over the space of ``xxh``; the first has two alike in everything but ``event_id``."""
    api.seed(profiles=profiles, events_per_profile=events, start=START, days=days)
    for number in range(profiles):
        profile = api.add_profile(email=f"more{number}@example.com")
        for event in range(events):
            at = START + dt.timedelta(days=days * event / events, seconds=number)
            api.add_event(profile, "open" if event % 3 else "click", at=at, message_id=event)


def run(tmp_path: Path, date_from: Any = "2026-01-05", date_to: Any = "2026-01-15", **arguments: Any) -> dict[str, Any]:
    arguments.setdefault("target", str(tmp_path / "all.parquet"))
    operator = AltcraftDatabaseHistoryOperator(task_id="pull", date_from=date_from, date_to=date_to, **arguments)
    result: dict[str, Any] = operator.execute({})
    assert json.loads(json.dumps(result)) == result
    return result


def rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def pulled(tmp_path: Path, **arguments: Any) -> list[dict[str, Any]]:
    run(tmp_path, **arguments)
    return rows(tmp_path / "all.parquet")


def simple(found: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    return Counter((row["xxh"], row["datetime"], row["action"], row["message_id"]) for row in found)


def held(api: Emulator, date_from: str = "2026-01-05", date_to: str = "2026-01-15") -> Counter[tuple[Any, ...]]:
    """What the emulator holds of these days in UTC."""
    return simple(
        row | {"datetime": dt.datetime.fromisoformat(row["datetime"])}
        for row in api.events()
        if date_from <= row["datetime"][:10] <= date_to
    )


def identified(found: Iterable[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted(tuple(map(str, row.values())) for row in found)


class TestEveryEventOnce:
    """Whatever the platform's habits are."""

    @pytest.mark.parametrize("hours", [14, 0, -12])
    @pytest.mark.parametrize("inclusive", [True, False])
    def test_whatever_its_days_mean(self, api: Emulator, tmp_path: Path, hours: int, inclusive: bool) -> None:
        seed(api, profiles=6)
        api.utc_offset, api.date_to_inclusive = dt.timedelta(hours=hours), inclusive
        assert simple(pulled(tmp_path, ranges=11)) == held(api)
        assert simple(pulled(tmp_path, ranges=2)) == held(api)

    @pytest.mark.parametrize("cursor", ["exclusive", "inclusive"])
    @pytest.mark.parametrize("style", ["new", "old"])
    def test_whatever_its_cursors_and_rows_are(self, api: Emulator, tmp_path: Path, cursor: Any, style: Any) -> None:
        seed(api)
        ann = api.add_profile(email="ann@example.com")
        for _ in range(30):  # alike in everything, over several pages
            api.add_event(ann, "click", at=START + dt.timedelta(days=6), event_id="one")
        api.cursor, api.style = cursor, style
        walks: list[dict[str, Any]] = [{}, {"ranges": 3, "limit": 70}, {"partitions": 3, "limit": 50}]
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
        keys = Counter(row["event_key"] for row in pulled(tmp_path, limit=7, ranges=2))
        assert keys == Counter(row["event_key"] for row in rows(other))

    def test_an_instant_is_exact_and_its_end_outside(self, api: Emulator, tmp_path: Path) -> None:
        for second in range(4):
            api.add_event(api.add_profile(), "open", at=START + dt.timedelta(seconds=second))
        window = {"date_from": START + dt.timedelta(seconds=1), "date_to": START + dt.timedelta(seconds=3)}
        assert [row["datetime"].second for row in pulled(tmp_path, **window)] == [1, 2]
        assert pulled(tmp_path, date_from=START, date_to=START) == []

    def test_two_pulls_are_byte_for_byte_alike(self, api: Emulator, tmp_path: Path) -> None:
        seed(api)
        for suffix in (".parquet", ".jsonl"):
            paths = [tmp_path / f"{number}{suffix}" for number in range(2)]
            for number, path in enumerate(paths):
                api.latency = 0.002 * number
                run(tmp_path, target=str(path), ranges=5, limit=40)
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
    result = run(tmp_path, ranges=2, limit=50)
    first, second = result.pop("ranges")
    assert result == {
        "uris": [f"file://{tmp_path}/all.parquet"],
        "rows": sum(held(api).values()),
        "bytes": (tmp_path / "all.parquet").stat().st_size,
        "window": {"start": "2026-01-05T00:00:00+00:00", "end": "2026-01-16T00:00:00+00:00"},
        "pages": len(api.requests),
        "plain_because": None,
    }
    assert first["end"] == second["start"] == "2026-01-10T00:00:00+00:00"
    assert (first["rows"] + second["rows"], first["ended"]) == (result["rows"], "an empty page")


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


def changed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> faults.Fault:
    return faults.Fault("changed", envelope=change)


class Target:
    """Counts and watches what it is given."""

    template_fields = ()

    def __init__(self, on_write: Callable[[pa.RecordBatch], None] = lambda batch: None) -> None:
        self.on_write = on_write
        self.batches: list[pa.RecordBatch] = []

    def open(self, scope: Scope) -> Target:
        self.scope = scope
        self.batches = []
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        self.batches.append(batch)
        self.on_write(batch)

    def commit(self) -> Written:
        return Written(("memory://",), sum(batch.num_rows for batch in self.batches))

    def abort(self) -> None:
        self.batches = []

    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches for row in batch.to_pylist()]


def test_the_scope_is_the_whole_database(api: Emulator, tmp_path: Path) -> None:
    target = Target()
    run(tmp_path, target=target)
    assert (target.scope.list_id, target.scope.lookups) == (1, None)
    assert target.scope.window.to_json()["start"] == "2026-01-05T00:00:00+00:00"


@pytest.mark.parametrize("cursor", ["exclusive", "inclusive"])
def test_pages_that_grow_while_they_are_walked(
    api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cursor: Any
) -> None:
    """What was there before is there once; what comes up meanwhile may be, once."""
    from airflow_provider.altcraft.extract import database

    monkeypatch.setattr(database, "BATCH_ROWS", 50)
    seed(api)
    api.cursor = cursor
    before = held(api)

    def grow(batch: pa.RecordBatch) -> None:
        for number in range(20):
            at = START + dt.timedelta(days=5 + number % 8, hours=7, minutes=number, seconds=len(target.batches))
            api.add_event(f"more{number}@example.com", "late", at=at, message_id=len(target.batches))

    target = Target(grow)
    run(tmp_path, target=target, ranges=3, limit=25)
    found = target.rows()
    assert len(target.batches) > 5
    assert simple(row for row in found if row["action"] != "late") == before
    late = simple(row for row in found if row["action"] == "late")
    assert 0 < len(late) == late.total()
    assert late <= held(api)


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
        result = run(tmp_path, ranges=1, limit=20)
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
        (walk,) = run(tmp_path, ranges=1, limit=20)["ranges"]
        assert (walk["ended"], walk["pages"]) == ("a cursor that was asked for before", 2)
        assert "rows may be missing" in caplog.text

    def test_a_page_that_cannot_be_read_is_asked_again(self, api: Emulator, tmp_path: Path) -> None:
        seed(api, profiles=3)

        def spoil(envelope: dict[str, Any]) -> dict[str, Any]:
            envelope["data"][1].pop("action")
            return envelope

        api.play(faults.ok(), changed(spoil))
        assert simple(pulled(tmp_path, ranges=1, limit=20)) == held(api)
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
        result = run(tmp_path, partitions=4, limit=40)
        assert identified(rows(tmp_path / "all.parquet")) == identified(plain)
        assert result["plain_because"] is None
        assert [walk["ended"] for walk in result["ranges"]] == ["the end of its range"] * 3 + ["an empty page"]
        assert result["ranges"][1]["xxh_from"] == "4000000000000000"
        assert all(walk["rows"] for walk in result["ranges"])

    def test_one_for_each_mapped_task(self, api: Emulator, tmp_path: Path) -> None:
        seed(api)
        plain = pulled(tmp_path)
        parts = [pulled(tmp_path, partition=(index, 3), limit=40) for index in range(3)]
        assert all(parts)
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
        result = run(tmp_path, partitions=4, limit=40)
        assert why in result["plain_because"]
        assert "cannot be walked in parts" in caplog.text
        assert identified(rows(tmp_path / "all.parquet")) == identified(plain)
        parts = [pulled(tmp_path, partition=(index, 3), limit=40) for index in range(3)]
        assert identified(row for part in parts for row in part) == identified(plain)

    def test_an_order_that_breaks_only_later(self, api: Emulator, tmp_path: Path) -> None:
        """What was written of the parts is dropped."""
        seed(api)

        def swap(envelope: dict[str, Any]) -> dict[str, Any]:
            envelope["data"].reverse()
            return envelope

        api.play(*[faults.ok()] * 8, changed(swap))
        result = run(tmp_path, partitions=4, limit=40)
        assert "order" in result["plain_because"]
        assert simple(rows(tmp_path / "all.parquet")) == held(api)

    def test_other_refusals_are_no_matter_of_order(self, api: Emulator, tmp_path: Path) -> None:
        api.revoke(1)
        with pytest.raises(AirflowFailException, match="403"):
            run(tmp_path, partitions=4)


def test_walks_go_side_by_side_within_the_connections(api: Emulator, connect: Connect, tmp_path: Path) -> None:
    connect(api, max_connections=3)
    seed(api)
    api.latency = 0.02
    run(tmp_path, ranges=11, limit=100)
    assert len({request.peer for request in api.requests}) == 3


class TestLookback:
    """Days that are pulled again, and what that tells."""

    def test_its_days_are_written_anew(self, api: Emulator, tmp_path: Path) -> None:
        seed(api, profiles=3)
        target = Target()
        result = run(tmp_path, date_from="2026-01-10", date_to="2026-01-10", lookback=3, target=target)
        assert simple(target.rows()) == held(api, "2026-01-07", "2026-01-10")
        assert target.scope.window.to_json() == result["window"]
        assert result["window"]["start"] == "2026-01-07T00:00:00+00:00"
        assert result["lateness"] is None

    def test_late_events_are_reported(self, api: Emulator, tmp_path: Path) -> None:
        seed(api, profiles=3)
        told: dict[str, Any] = {}
        task = _Task(told)
        days = [dt.date(2026, 1, 10), dt.date(2026, 1, 11)]
        results = []
        for day in days:
            operator = AltcraftDatabaseHistoryOperator(
                task_id="pull", date_from=day, date_to=day, lookback=3, target=Target()
            )
            results.append(operator.execute({"ti": task}))  # type: ignore[arg-type]
            api.add_event("user1@example.com", "form_post", at=START + dt.timedelta(days=8, hours=5))
        assert results[0]["lateness"] is None
        late = results[1]["lateness"]
        assert (late["events"], list(late["by_action"])) == (1, ["form_post"])
        assert (late["needed_lookback"], late["recommended_lookback"]) == (2, 2)
        assert "altcraft_seen" not in results[1]

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            ({"target": "/tmp/all.parquet", "lookback": 1}, "put {date} into the path"),
            ({"target": "/tmp/parts/", "lookback": 1}, "put {date} into the path"),
        ],
    )
    def test_what_would_double_is_refused(self, arguments: dict[str, Any], why: str) -> None:
        with pytest.raises(ValueError, match=why):
            AltcraftDatabaseHistoryOperator(task_id="pull", date_from="2026-01-01", date_to="2026-01-01", **arguments)

    @pytest.mark.parametrize(("disposition", "more"), [("append", {"lookback": 1}), ("replace", {"partition": (0, 2)})])
    def test_what_a_table_would_not_bear_is_refused(self, disposition: str, more: dict[str, Any]) -> None:
        target = Target()
        target.write_disposition = disposition  # type: ignore[attr-defined]
        days = {"date_from": "2026-01-01", "date_to": "2026-01-01"}
        with pytest.raises(ValueError, match=next(iter(more))):
            AltcraftDatabaseHistoryOperator(task_id="pull", target=target, **days, **more)


class _Task:
    """The part of a task instance that the operator uses."""

    map_index = -1

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told

    def xcom_pull(self, *, key: str, **_: Any) -> Any:
        return self.told.get(key)

    def xcom_push(self, key: str, value: Any) -> None:
        self.told[key] = json.loads(json.dumps(value))


class TestRefused:
    """Wrong input ends before any request."""

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            ({"date_from": None}, "needs both"),
            ({"date_to": None}, "needs both"),
            ({"date_to": "2025-01-01"}, "is before date_from"),
            ({"lookback": -1}, "lookback: a whole number from 0"),
            ({"lookback": True}, "lookback"),
            ({"ranges": 0}, "ranges: a whole number from 1"),
            ({"partitions": 0}, "partitions"),
            ({"limit": 0}, "limit"),
            ({"partition": (2, 2)}, "i from 0 to below n"),
            ({"partition": "1/2"}, "two whole numbers"),
            ({"partition": (0, 2), "partitions": 2}, "not both"),
            ({"fields": "CRM_ID"}, "fields: a list"),
        ],
    )
    def test_when_the_dag_is_parsed(self, arguments: dict[str, Any], why: str) -> None:
        given = {"target": "/tmp/all.parquet", "date_from": "2026-01-01", "date_to": "2026-01-02"} | arguments
        with pytest.raises(ValueError, match=why):
            AltcraftDatabaseHistoryOperator(task_id="pull", **given)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("date_to", None), ("partition", [5, 2]), ("fields", "CRM_ID"), ("target", "s3:nonsense")],
    )
    def test_when_a_template_renders_to_it(self, api: Emulator, tmp_path: Path, name: str, value: Any) -> None:
        given = {"target": str(tmp_path / "a.parquet"), "date_from": "2026-01-01", "date_to": "2026-01-02"}
        operator = AltcraftDatabaseHistoryOperator(task_id="pull", **given | {name: "{{ later }}"})
        setattr(operator, name, value)
        with pytest.raises(AirflowFailException):
            operator.execute({})
        assert api.requests == []


class Durable(Target):
    """Keeps what was written up to the last checkpoint for the next attempt, and breaks off after some batches."""

    def __init__(self, breaks_after: int) -> None:
        super().__init__(self.break_off)
        self.breaks_after = breaks_after
        self.kept: tuple[str, Any, list[pa.RecordBatch]] | None = None

    def break_off(self, batch: pa.RecordBatch) -> None:
        self.breaks_after -= 1
        if not self.breaks_after:
            raise OSError("the disk is full")

    def resume(self, pull: str) -> Any:
        self.pull = pull
        if self.kept is None or self.kept[0] != pull:
            return None
        self.batches = list(self.kept[2])
        return self.kept[1]

    def checkpoint(self, state: Any) -> None:
        self.kept = self.pull, json.loads(json.dumps(state)), list(self.batches)


class TestResumed:
    """A retry goes on where an attempt was broken off."""

    @pytest.mark.parametrize("cursor", ["exclusive", "inclusive"])
    @pytest.mark.parametrize("how", [{"ranges": 3}, {"partitions": 3}, {"lookback": 2}])
    def test_the_rows_are_those_of_one_pull(
        self, api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cursor: Any, how: dict[str, Any]
    ) -> None:
        from airflow_provider.altcraft.extract import database

        monkeypatch.setattr(database, "BATCH_ROWS", 60)
        seed(api)
        api.cursor = cursor
        whole = Target()
        expected = run(tmp_path, target=whole, limit=20, **how)
        needed = len(api.requests)
        api.reset()
        target = Durable(4)
        for _ in range(3):
            with pytest.raises(OSError, match="disk is full"):
                run(tmp_path, target=target, limit=20, **how)
            target.breaks_after = 4
        target.breaks_after = -1
        result = run(tmp_path, target=target, limit=20, **how)
        assert target.rows() == whole.rows()  # their order too
        assert result["ranges"] == expected["ranges"]
        # Each attempt was a few pages of each walk ahead, and asks two to see how the platform orders rows.
        assert len(api.requests) <= needed + 3 * (3 * 4 + 2)

    def test_another_pull_starts_anew(self, api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow_provider.altcraft.extract import database

        monkeypatch.setattr(database, "BATCH_ROWS", 60)
        seed(api, profiles=5)
        target = Durable(3)
        with pytest.raises(OSError, match="disk is full"):
            run(tmp_path, target=target, limit=20, ranges=2)
        run(tmp_path, target=target, limit=20, ranges=2, fields=["CRM_ID"])
        assert simple(target.rows()) == held(api)
        assert all("fields" in row["extra"] for row in target.rows())
