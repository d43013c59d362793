"""What is kept of the events that were dealt with: exact, small, and whole at every moment of a write."""

from __future__ import annotations

import datetime as dt
import json
from hashlib import blake2b
from typing import Any

import pytest

from airflow_provider.altcraft.waiting.processed_keys import PAGE_KEYS, RUNS, ProcessedKeys

NOON = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
LIMIT = 65_535


def key(number: int) -> str:
    return blake2b(str(number).encode(), digest_size=16).hexdigest()


def events(first: int, last: int, *, every: float = 1.0) -> list[tuple[str, dt.datetime]]:
    return [(key(number), NOON + dt.timedelta(seconds=number * every)) for number in range(first, last)]


class Rows(dict[str, Any]):
    """A store of rows that notes what is written."""

    written = 0

    def keep(self, seen: ProcessedKeys) -> None:
        rows, gone = seen.changes()
        assert list(rows)[-1] == "head"
        for name, value in rows.items():
            text = json.dumps(value)
            assert len(text) <= LIMIT
            self.written += len(text)
            self[name] = json.loads(text)
        for name in gone:
            del self[name]

    def restored(self) -> ProcessedKeys:
        return ProcessedKeys.from_rows(self["head"], {name: self[name] for name in ProcessedKeys.rows_of(self["head"])})


def test_nothing_yet() -> None:
    seen = ProcessedKeys(NOON)
    assert (seen.since, seen.watermark, len(seen)) == (NOON, NOON, 0)
    assert key(1) not in seen
    assert seen.span_of_run("run") is None


def test_survives_being_stored_after_each_addition() -> None:
    rows, seen = Rows(), ProcessedKeys(NOON)
    for turn in range(60):
        seen.add(events(turn * 200, turn * 200 + 200))
        seen.watermark = NOON + dt.timedelta(minutes=turn)
        rows.keep(seen)
        seen = rows.restored()
    assert all(key(number) in seen for number in range(12_000))
    assert not any(key(number) in seen for number in range(12_000, 12_500))
    assert (seen.since, seen.watermark) == (NOON, NOON + dt.timedelta(minutes=59))
    assert set(rows) == {"head", *ProcessedKeys.rows_of(rows["head"])}


def test_what_is_added_twice_is_kept_once() -> None:
    rows, seen = Rows(), ProcessedKeys(NOON)
    seen.add(events(0, 10))
    seen.add(events(5, 15), "run")
    rows.keep(seen)
    assert len(rows.restored()) == 15
    assert seen.of_run("run", map(key, range(20))) == {key(number) for number in range(10, 15)}


@pytest.mark.parametrize(("number", "rows_kept", "size"), [(500, 1, 6_000), (100_000, 26, 1_110_000)])
def test_size(number: int, rows_kept: int, size: int) -> None:
    """The figures that the docs give."""
    rows, seen = Rows(), ProcessedKeys(NOON)
    seen.add(events(0, number))
    rows.keep(seen)
    assert len(rows) <= rows_kept
    assert sum(len(json.dumps(row)) for row in rows.values()) < size
    before = rows.written
    seen.add(events(number, number + 100))
    rows.keep(seen)
    assert rows.written - before < 2 * LIMIT
    print(f"{number} keys: {len(rows)} rows, {sum(len(json.dumps(row)) for row in rows.values())} bytes")


def test_old_ones_are_forgotten_and_their_rows_deleted() -> None:
    rows, seen = Rows(), ProcessedKeys(NOON)
    for turn in range(10):
        seen.add(events(turn * PAGE_KEYS, (turn + 1) * PAGE_KEYS))
        rows.keep(seen)
    seen.forget(NOON + dt.timedelta(seconds=8 * PAGE_KEYS + 1))
    rows.keep(seen)
    assert len(seen) == 2 * PAGE_KEYS
    assert key(7) not in seen
    assert key(8 * PAGE_KEYS) in seen
    assert len(rows) == 3


def test_an_event_at_the_border_is_not_forgotten() -> None:
    seen = ProcessedKeys(NOON)
    seen.add([(key(1), NOON + dt.timedelta(microseconds=999_999))])
    seen.forget(NOON + dt.timedelta(microseconds=999_999))
    assert key(1) in seen


def test_a_write_that_breaks_off_leaves_what_was() -> None:
    """Whatever row was the last to be written: the state before, or the one after."""
    rows, seen = Rows(), ProcessedKeys(NOON)
    seen.add(events(0, 7000))
    rows.keep(seen)
    seen.add(events(7000, 12_000))
    written, gone = seen.changes()
    assert gone
    for count in range(len(written)):
        broken = Rows(rows | dict(list(written.items())[:count]))
        assert len(broken.restored()) == 7000
    assert len(Rows(rows | written).restored()) == 12_000


def test_each_run_gets_its_own_again() -> None:
    rows, seen = Rows(), ProcessedKeys(NOON)
    for run in range(5):
        seen.add(events(run * 3000, (run + 1) * 3000), f"run{run}")
        rows.keep(seen)
        seen = rows.restored()
    everything = list(map(key, range(15_000)))
    assert seen.of_run("run3", everything) == set(everything[9000:12_000])
    first, last = NOON + dt.timedelta(seconds=9000), NOON + dt.timedelta(seconds=12_000)
    assert seen.span_of_run("run3") == (first, last)


def test_of_very_many_runs_the_newest_are_kept_apart() -> None:
    rows, seen = Rows(), ProcessedKeys(NOON)
    for run in range(2 * RUNS):
        seen.add(events(run * 20, (run + 1) * 20), f"run{run}")
        rows.keep(seen)
        seen = rows.restored()
    assert len(seen) == 40 * RUNS
    assert seen.span_of_run(f"run{RUNS - 1}") is None
    assert seen.of_run(f"run{RUNS}", map(key, range(40 * RUNS))) == set(map(key, range(RUNS * 20, RUNS * 20 + 20)))
    assert len(rows["head"]["pages"]) <= RUNS + 2


def test_a_later_format_is_refused() -> None:
    rows, seen = Rows(), ProcessedKeys(NOON)
    rows.keep(seen)
    with pytest.raises(ValueError, match="later version"):
        ProcessedKeys.rows_of(rows["head"] | {"format": 2})


def test_what_an_earlier_version_stored_is_read() -> None:
    """Written by 0.1; a change of the format must still read it."""
    head = {
        "format": 1,
        "since": "2026-01-05T12:00:00+00:00",
        "watermark": "2026-01-05T13:00:00+00:00",
        "next": 1,
        "pages": [
            [1767614400, 1767614401, None, "page0", None],
            [1767614402, 1767614402, "2b8e6f4cb6d1d1ab8f", None, "AAAAAAAAAAM="],
        ],
    }
    seen = ProcessedKeys.from_rows(head, {"page0": "AAAAAAAAAAEAAAAAAAAAAg=="})
    assert [f"{number:016x}{'0' * 16}" in seen for number in range(5)] == [False, True, True, True, False]
    assert seen.watermark == NOON + dt.timedelta(hours=1)
