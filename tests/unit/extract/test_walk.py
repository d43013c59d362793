"""One walk: rows once each whatever the cursor is, keys across pages, resumed anywhere, ordered ones checked."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.altcraft.client import HistoryEvent
from airflow_provider.altcraft.extract.database.ranges import Range, cut
from airflow_provider.altcraft.extract.database.walk import (
    REMEMBERED,
    HistoryPage,
    OrderError,
    RangeWalk,
    Row,
    WalkKeys,
)
from airflow_provider.altcraft.schema import batch_of_events, identity_of
from airflow_provider.altcraft.window import Window

Kind: TypeAlias = Literal["exclusive", "inclusive"]
DAY = Window.of("2026-01-02", "2026-01-02")
NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


def row(profile: int, second: int, action: str = "open", **more: Any) -> dict[str, Any]:
    at = (NOON + dt.timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
    return {"xxh": f"{profile:016x}", "list_id": 1, "action": action, "count": 1, "datetime": at} | more


def place(found: Row) -> str:
    return f"{found['xxh']}.{found['datetime']}"


def serve(rows: Sequence[Row], cursor: str, limit: int, kind: Kind) -> HistoryPage:
    """A page of rows in order, by a cursor that is the last row's place, and where it is exclusive its number."""
    if kind == "exclusive":
        start = int(cursor.rpartition("/")[2] or 0)
        found = rows[start : start + limit]
        return HistoryPage(found, f"{place(found[-1])}/{start + len(found)}" if found else cursor)
    found = [each for each in rows if place(each) >= cursor][:limit]
    return HistoryPage(found, place(found[-1]) if found else cursor)


def decode(rows: list[Row], keys: WalkKeys) -> pa.RecordBatch:
    events = [HistoryEvent.model_validate(each) for each in rows]
    return batch_of_events(events, list_id=1, matching=None, lookup=None, seen=keys)


def identities(rows: Sequence[Row]) -> list[str]:
    return [identity_of(HistoryEvent.model_validate(each), 1) for each in rows]


def new_walk(limit: int, kept: Range | None = None, *, ordered: bool = False) -> RangeWalk:
    return RangeWalk(kept or Range(DAY), limit, identities, ordered=ordered)


def events(batches: Sequence[pa.RecordBatch]) -> list[dict[str, Any]]:
    return [each for batch in batches for each in batch.to_pylist()]


def simple(found: Sequence[dict[str, Any]]) -> Counter[tuple[str, dt.datetime, str]]:
    return Counter((each["xxh"], each["datetime"], each["action"]) for each in found)


def sent(rows: Sequence[Row]) -> Counter[tuple[str, dt.datetime, str]]:
    return Counter((each["xxh"], dt.datetime.fromisoformat(each["datetime"]), each["action"]) for each in rows)


def keys_of_one_answer(rows: Sequence[Row]) -> set[str]:
    return set(decode(list(rows), WalkKeys())["event_key"].to_pylist())


def pages(walk: RangeWalk, ask: Callable[[str], HistoryPage]) -> Iterator[pa.RecordBatch]:
    for _ in range(500):
        if walk.done:
            return
        yield walk.take(ask(walk.cursor), decode)
    raise AssertionError("the walk has no end")


ROWS = st.lists(st.builds(row, st.integers(0, 3), st.integers(0, 2), st.sampled_from("ab")), max_size=30).map(
    lambda rows: sorted(rows, key=place)
)


def roomy(rows: Sequence[Row], more: int) -> int:
    """No inclusive cursor gets past a place whose rows fill a page."""
    return max(Counter(map(place, rows)).values(), default=0) + 1 + more


@given(ROWS, st.integers(1, 6))
def test_exclusive_gives_every_row_once_and_keys_of_its_own(rows: list[Row], limit: int) -> None:
    """Rows alike in everything among them, wherever pages end; the keys are those of one answer."""
    found = events(list(pages(new_walk(limit), lambda cursor: serve(rows, cursor, limit, "exclusive"))))
    assert simple(found) == sent(rows)
    assert len({each["event_key"] for each in found}) == len(rows)
    assert {each["event_key"] for each in found} == keys_of_one_answer(rows)


@given(ROWS, st.integers(0, 3))
def test_inclusive_gives_every_row_once_and_keys_of_its_own(rows: list[Row], more: int) -> None:
    limit = roomy(rows, more)
    found = events(list(pages(new_walk(limit), lambda cursor: serve(rows, cursor, limit, "inclusive"))))
    assert simple(found) == sent(rows)
    assert {each["event_key"] for each in found} == keys_of_one_answer(rows)


@given(ROWS, st.integers(0, 3), st.sampled_from(["exclusive", "inclusive"]), st.integers(1, 12))
def test_resumed_after_any_page(rows: list[Row], more: int, kind: Any, after: int) -> None:
    """Rows and keys are those of a walk that was not broken off, wherever a state could be kept."""
    limit = roomy(rows, more)

    def ask(cursor: str) -> HistoryPage:
        return serve(rows, cursor, limit, kind)

    first = new_walk(limit)
    before: list[pa.RecordBatch] = []
    while not first.done and len(before) < after:
        before.append(first.take(ask(first.cursor), decode))
    state = first.state
    if state is None:
        return
    second = new_walk(limit)
    second.resume(json.loads(json.dumps(state)))
    found = events([*before, *pages(second, ask)])
    whole = events(list(pages(new_walk(limit), ask)))
    if first._held and kind == "exclusive":  # by then it was taken to be inclusive
        return
    assert simple(found) == simple(whole) == sent(rows)
    assert {each["event_key"] for each in found} == {each["event_key"] for each in whole}


@pytest.mark.parametrize("alike", [1, 100, 101])
def test_resumed_after_a_large_page_of_an_exclusive_cursor(alike: int) -> None:
    """Of such a page only the end is kept: all rows of its last second, or so many that no state can hold them."""
    rows = [row(number, 0) for number in range(500 - alike)] + [row(900, 1, f"a{number}") for number in range(alike)]
    rows = [*sorted(rows, key=place), row(1_000, 0)]

    def ask(cursor: str) -> HistoryPage:
        return serve(rows, cursor, 250, "exclusive")

    first = new_walk(250)
    before = [first.take(ask(first.cursor), decode) for _ in range(2)]
    if alike > 100:
        assert first.state is None
        return
    assert first.state is not None
    assert len(first.state["tail"]) == alike
    second = new_walk(250)
    second.resume(json.loads(json.dumps(first.state)))
    found = events([*before, *pages(second, ask)])
    assert simple(found) == sent(rows)
    assert {each["event_key"] for each in found} == keys_of_one_answer(rows)


@pytest.mark.parametrize("kind", ["exclusive", "inclusive"])
def test_a_state_holds_nobodys_data(kind: Kind) -> None:
    rows = [row(number, 0, email=f"user{number}@example.com", smid=f"sm-{number}") for number in range(30)]
    walk = new_walk(5)
    for _ in range(4):
        walk.take(serve(rows, walk.cursor, 5, kind), decode)
    assert walk.state is not None
    text = json.dumps(walk.state)
    assert "@" not in text
    assert "sm-" not in text
    assert len(text) < 400


def test_a_page_that_cannot_be_decoded_is_not_taken() -> None:
    rows = [row(number, 0) for number in range(6)]
    walk = new_walk(3)
    walk.take(serve(rows, "", 3, "exclusive"), decode)

    def broken(rows: list[Row], keys: WalkKeys) -> pa.RecordBatch:
        raise ValueError

    page = serve(rows, walk.cursor, 3, "exclusive")
    for _ in range(2):
        with pytest.raises(ValueError):  # noqa: PT011 - its own
            walk.take(page, broken)
    assert (walk.pages, walk.rows) == (1, 3)
    assert walk.take(page, decode).num_rows == 3


class TestGrowing:
    """Rows that come up at a border while the walk goes on."""

    def test_a_row_before_the_one_that_is_repeated(self) -> None:
        rows = [row(number, 1) for number in range(4)]
        walk = new_walk(2)
        found = [walk.take(HistoryPage(rows[:2], "1"), decode)]
        new = row(1, 0, "click")
        found.append(walk.take(HistoryPage([new, rows[1]], "2"), decode))
        found.append(walk.take(HistoryPage([rows[1], rows[2]], "3"), decode))
        found.append(walk.take(HistoryPage([rows[2], rows[3]], "4"), decode))
        found.append(walk.take(HistoryPage([rows[3]], "4"), decode))
        assert walk.done
        assert simple(events(found)) == sent([*rows, new])

    def test_a_row_that_changes_at_the_border(self) -> None:
        """Its count and whatever is in ``extra`` may: it stays the same event."""
        first, last = row(1, 0), row(2, 0)
        walk = new_walk(2)
        found = [walk.take(HistoryPage([first, last], "1"), decode)]
        found.append(walk.take(HistoryPage([last | {"count": 2}, row(3, 0)], "2"), decode))
        found.append(walk.take(HistoryPage([row(3, 0)], "2"), decode))
        assert len(events(found)) == 3


class TestOrdered:
    """Walks of a part of the space of ``xxh``, by composed cursors."""

    PARTS = tuple(cut(DAY, 1, [(0, 2), (1, 2)]))
    HALF = 2**63

    def test_the_end_of_its_range(self) -> None:
        rows = [row(number, 0) for number in (1, 2, self.HALF - 1, self.HALF, self.HALF + 1)]
        first, second = (new_walk(10, part, ordered=True) for part in self.PARTS)
        assert (first.cursor, second.cursor) == ("", f"{self.HALF:016x}.20010101")
        assert first.take(HistoryPage(rows, "x"), decode).num_rows == 3
        assert (first.done, first.report()["ended"]) == (True, "the end of its range")
        assert second.take(HistoryPage(rows[3:], "x"), decode).num_rows == 2
        assert not second.done
        second.take(HistoryPage([], "x"), decode)
        assert second.report()["ended"] == "an empty page"

    @pytest.mark.parametrize(
        ("pages_of", "why"),
        [
            ([[3, 2]], "order"),
            ([[1, 3], [2]], "order"),
            ([[1, None]], "no xxh"),
        ],
    )
    def test_out_of_order(self, pages_of: list[list[int | None]], why: str) -> None:
        walk = new_walk(10, self.PARTS[0], ordered=True)
        *fine, last = [
            HistoryPage([row(each or 0, 0) | ({} if each else {"xxh": None}) for each in numbers], str(numbers))
            for numbers in pages_of
        ]
        for page in fine:
            walk.take(page, decode)
        with pytest.raises(OrderError, match=why):
            walk.take(last, decode)

    def test_before_its_range(self) -> None:
        walk = new_walk(10, self.PARTS[1], ordered=True)
        with pytest.raises(OrderError):
            walk.take(HistoryPage([row(7, 0)], "x"), decode)

    @given(ROWS, st.integers(0, 3), st.sampled_from(["exclusive", "inclusive"]), st.integers(1, 4))
    def test_parts_together_are_the_whole(self, rows: list[Row], more: int, kind: Any, count: int) -> None:
        spread = [each | {"xxh": f"{int(each['xxh'], 16) * 2**62:016x}"} for each in rows]
        limit = roomy(spread, more)

        def ask(cursor: str, low: int) -> HistoryPage:
            if cursor.endswith(".20010101"):
                start = next((n for n, each in enumerate(spread) if int(each["xxh"], 16) >= low), len(spread))
                cursor = f"/{start}" if kind == "exclusive" else cursor
            return serve(spread, cursor, limit, kind)

        found = []
        for part in cut(DAY, 1, [(index, count) for index in range(count)]):
            found += list(pages(new_walk(limit, part, ordered=True), lambda cursor, at=part.low: ask(cursor, at)))  # type: ignore[misc]
        assert simple(events(found)) == sent(spread)
        assert {each["event_key"] for each in events(found)} == keys_of_one_answer(spread)


def test_memory_of_keys_is_bounded() -> None:
    rows = [row(number, 0) for number in range(5 * REMEMBERED)]
    walk = new_walk(1000)
    for _ in pages(walk, lambda cursor: serve(rows, cursor, 1000, "exclusive")):
        assert len(walk.keys) + len(walk.keys._older) < 2 * REMEMBERED + 1000
