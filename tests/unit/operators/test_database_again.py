"""The operator of a whole database that grows, whose days are pulled again, and whose pulls are resumed."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider.altcraft.extract._protocol import PullSizes
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator
from airflow_provider.altcraft.testing import Emulator
from tests.unit.operators.whole_database import (
    START,
    Connect,
    Target,
    held,
    run,
    seed,
    simple,
)

DAY = dt.timedelta(days=1)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    return altcraft_api


@pytest.mark.parametrize("cursor", ["exclusive", "inclusive"])
def test_pages_that_grow_while_they_are_walked(
    api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cursor: Any
) -> None:
    """What was there before is there once; what comes up in the meantime may be, once."""
    monkeypatch.setattr(AltcraftDatabaseHistoryOperator, "pull_sizes", PullSizes(batch_rows=50))
    seed(api)
    api.cursor = cursor
    before = held(api)

    def grow(batch: pa.RecordBatch) -> None:
        for number in range(20):
            at = START + dt.timedelta(days=5 + number % 8, hours=7, minutes=number, seconds=len(target.batches))
            api.add_event(f"more{number}@example.com", "late", at=at, message_id=len(target.batches))

    target = Target(grow)
    run(tmp_path, target=target, parallel_ranges=3, page_size=25)
    found = target.rows()
    assert len(target.batches) > 5
    assert simple(row for row in found if row["action"] != "late") == before
    late = simple(row for row in found if row["action"] == "late")
    assert 0 < len(late) == late.total()
    assert late <= held(api)


class TestLookback:
    """Days that are pulled again, and what that tells."""

    def test_its_days_are_written_again(self, api: Emulator, tmp_path: Path) -> None:
        seed(api, profiles=3)
        target = Target()
        result = run(tmp_path, date_from="2026-01-10", date_to="2026-01-10", lookback="P3D", target=target)
        assert simple(target.rows()) == held(api, "2026-01-07", "2026-01-10")
        assert target.scope.window.to_json() == result["window"]
        assert result["window"]["start"] == "2026-01-07T00:00:00+00:00"
        assert result["lateness"] is None

    def test_late_events_are_reported(self, api: Emulator, tmp_path: Path) -> None:
        seed(api, profiles=3)
        said: dict[str, Any] = {}
        task = _Task(said)
        days = [dt.date(2026, 1, 10), dt.date(2026, 1, 11)]
        results = []
        for day in days:
            operator = AltcraftDatabaseHistoryOperator(
                task_id="pull", date_from=day, date_to=day, lookback="P3D", target=Target()
            )
            results.append(operator.execute({"ti": task}))  # type: ignore[arg-type]
            api.add_event("user1@example.com", "form_post", at=START + dt.timedelta(days=8, hours=5))
        assert results[0]["lateness"] is None
        late = results[1]["lateness"]
        assert (late["events"], list(late["by_action"])) == (1, ["form_post"])
        assert (late["needed_lookback"], late["recommended_lookback"]) == ("P2D", "P2D")
        assert "altcraft_seen" not in results[1]

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            ({"target": "/tmp/all.parquet", "lookback": DAY}, "put {date} into the path"),
            ({"target": "/tmp/parts/", "lookback": DAY}, "put {date} into the path"),
        ],
    )
    def test_what_would_double_is_refused(self, arguments: dict[str, Any], why: str) -> None:
        with pytest.raises(ValueError, match=why):
            AltcraftDatabaseHistoryOperator(task_id="pull", date_from="2026-01-01", date_to="2026-01-01", **arguments)

    @pytest.mark.parametrize(("disposition", "more"), [("append", {"lookback": DAY}), ("replace", {"shard": (0, 2)})])
    def test_what_a_table_would_not_bear_is_refused(self, disposition: str, more: dict[str, Any]) -> None:
        target = Target()
        target.write_disposition = disposition  # type: ignore[attr-defined]
        days = {"date_from": "2026-01-01", "date_to": "2026-01-01"}
        with pytest.raises(ValueError, match=next(iter(more))):
            AltcraftDatabaseHistoryOperator(task_id="pull", target=target, **days, **more)


class _Task:
    """The part of a task instance that the operator uses."""

    map_index = -1

    def __init__(self, said: dict[str, Any]) -> None:
        self.reported = said

    def xcom_pull(self, *, key: str, **_: Any) -> Any:
        return self.reported.get(key)

    def xcom_push(self, key: str, value: Any) -> None:
        self.reported[key] = json.loads(json.dumps(value))


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

    def checkpoint(self, state: Any, *, keep: bool = False) -> None:
        self.kept = self.pull, json.loads(json.dumps(state)), list(self.batches)


class TestResumed:
    """A retry goes on where an attempt was broken off."""

    @pytest.mark.parametrize("cursor", ["exclusive", "inclusive"])
    @pytest.mark.parametrize("how", [{"parallel_ranges": 3}, {"parallel_partitions": 3}, {"lookback": 2 * DAY}])
    def test_the_rows_are_those_of_one_pull(
        self, api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cursor: Any, how: dict[str, Any]
    ) -> None:
        monkeypatch.setattr(AltcraftDatabaseHistoryOperator, "pull_sizes", PullSizes(batch_rows=60))
        seed(api)
        api.cursor = cursor
        whole = Target()
        expected = run(tmp_path, target=whole, page_size=20, **how)
        needed = len(api.requests)
        api.reset()
        target = Durable(4)
        for _ in range(3):
            with pytest.raises(OSError, match="disk is full"):
                run(tmp_path, target=target, page_size=20, **how)
            target.breaks_after = 4
        target.breaks_after = -1
        result = run(tmp_path, target=target, page_size=20, **how)
        assert target.rows() == whole.rows()  # their order too
        assert result["ranges"] == expected["ranges"]
        # Of each walk an attempt loses the two pages that a batch may have, and three that are under way: one waits to
        # be taken, one to be put there, one is asked for. And it asks two to see how the platform orders rows.
        assert len(api.requests) <= needed + 3 * (3 * (2 + 3) + 2)

    def test_another_pull_starts_again(self, api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(AltcraftDatabaseHistoryOperator, "pull_sizes", PullSizes(batch_rows=60))
        seed(api, profiles=5)
        target = Durable(3)
        with pytest.raises(OSError, match="disk is full"):
            run(tmp_path, target=target, page_size=20, parallel_ranges=2)
        run(tmp_path, target=target, page_size=20, parallel_ranges=2, fields=["CRM_ID"])
        assert simple(target.rows()) == held(api)
        assert all("fields" in row["extra"] for row in target.rows())
