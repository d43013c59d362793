"""Walks over pages, by both kinds of cursor, and what ends them."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import Counter
from typing import Any, Literal, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.altcraft.client import AltcraftClient, AsyncAltcraftClient, HistoryEvent, Response, Retry
from airflow_provider.altcraft.client._models import Page
from airflow_provider.altcraft.client._paging import PageWalk
from airflow_provider.altcraft.testing import Emulator, faults

Row: TypeAlias = tuple[int, str]  # its place, as a cursor names it, and what else it holds


def serve(rows: list[Row], cursor: int | str, limit: int, kind: Literal["exclusive", "inclusive"]) -> Page[Row]:
    """A page of rows ordered by place, by a cursor that is an index, or the place of the last row."""
    start = int(cursor or 0)
    if kind == "exclusive":
        found = rows[start : start + limit]
        return Page(found, start + len(found) if found else cursor)
    found = [row for row in rows if row[0] >= start][:limit]
    return Page(found, found[-1][0] if found else cursor)


def walked(rows: list[Row], limit: int, kind: Any) -> list[Row]:
    walk = PageWalk[Row]("m", 0, limit)
    found: list[Row] = []
    for _ in range(len(rows) + 3):
        if walk.done:
            return found
        found += walk.take(serve(rows, walk.cursor, limit, kind))
    raise AssertionError("the walk has no end")


ROWS = st.lists(st.tuples(st.integers(1, 8), st.sampled_from("ab"))).map(lambda rows: sorted(rows, key=lambda r: r[0]))


@given(ROWS, st.integers(1, 6))
def test_exclusive_gives_every_row_once(rows: list[Row], limit: int) -> None:
    """Rows alike in everything among them, wherever pages end."""
    assert Counter(walked(rows, limit, "exclusive")) == Counter(rows)


@given(ROWS, st.integers(0, 3))
def test_inclusive_gives_every_row_once(rows: list[Row], more: int) -> None:
    """As long as the rows of one place leave room on a page, as no cursor of that kind gets past them otherwise."""
    limit = max(Counter(place for place, _ in rows).values(), default=0) + 1 + more
    assert Counter(walked(rows, limit, "inclusive")) == Counter(rows)


@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 3))
def test_rows_of_one_place_may_come_in_another_order(rows: list[Row], chance: Any, more: int) -> None:
    limit = max(Counter(place for place, _ in rows).values(), default=0) + more
    walk = PageWalk[Row]("m", 0, limit + 1)
    found: list[Row] = []
    while not walk.done:
        page = serve(rows, walk.cursor, limit + 1, "inclusive")
        again = [row for row in page.rows if row[0] == walk.cursor]
        chance.shuffle(again)
        found += walk.take(Page(again + page.rows[len(again) :], page.next_from_id))
    # Shuffled, a page may also begin with a row that the last one had no room for: then it is at worst given twice.
    assert set(found) == set(rows)
    assert not Counter(rows) - Counter(found)


def test_twins_at_the_only_border() -> None:
    walk = PageWalk[str]("m", "", 2)
    assert walk.take(Page(["a", "x"], "1")) == ["a", "x"]
    assert walk.take(Page(["x"], "2")) == []  # again, or another?
    assert walk.take(Page([], "2")) == ["x"]  # an inclusive cursor would have given it again
    assert walk.done


def test_repeats_are_dropped_once_the_cursor_is_known_to_be_inclusive() -> None:
    walk = PageWalk[str]("m", "", 3)
    assert walk.take(Page(["a", "x"], "1")) == ["a", "x"]
    assert walk.take(Page(["x", "y"], "2")) == ["y"]
    assert walk.take(Page(["y"], "2")) == []
    assert walk.done


def test_twins_are_given_at_once_when_the_cursor_is_known_to_be_exclusive() -> None:
    walk = PageWalk[str]("m", "", 2)
    walk.take(Page(["a", "b"], "1"))
    assert walk.take(Page(["c", "x"], "2")) == ["c", "x"]
    assert walk.take(Page(["x", "y"], "3")) == ["x", "y"]


class TestEnds:
    """What ends a walk, and of what it warns."""

    def test_nothing_at_all(self, caplog: pytest.LogCaptureFixture) -> None:
        walk = PageWalk[str]("m", "", 2)
        assert walk.take(Page([])) == []
        assert (walk.done, caplog.messages) == (True, [])

    def test_no_cursor(self, caplog: pytest.LogCaptureFixture) -> None:
        walk = PageWalk[str]("m", "", 5)
        assert walk.take(Page(["a"])) == ["a"]
        assert (walk.done, caplog.messages) == (
            True,
            ["m gave no cursor with a page of rows: the walk ends there, rows may be missing"],
        )

    @pytest.mark.parametrize("cursor", ["null", '""', "false", "true", "[]", "{}", "1.5"])
    def test_what_is_no_cursor(self, caplog: pytest.LogCaptureFixture, cursor: str) -> None:
        row = '{"action": "x", "datetime": "2026-01-02T00:00:00Z"}'
        canned = Canned(f'{{"error": 0, "data": [{row}], "next_from_id": {cursor}}}'.encode())
        with AltcraftClient("https://example.com", "t0ken", list_id=1, transport=canned) as asking:
            assert len(list(asking.iter_database_history(**DAYS))) == 1
        assert "gave no cursor" in caplog.text

    @pytest.mark.parametrize("cursor", ["", "1", "2"])
    def test_a_cursor_that_was_asked_for_before(self, caplog: pytest.LogCaptureFixture, cursor: str) -> None:
        walk = PageWalk[str]("m", "", 2)
        walk.take(Page(["a"], "1"))
        walk.take(Page(["b"], "2"))
        assert not walk.done
        assert walk.take(Page(["c"], cursor)) == ["c"]
        assert walk.done
        assert caplog.messages == [
            "m gave a cursor that was asked for before with a page of rows: the walk ends there, rows may be missing"
        ]

    @pytest.mark.parametrize(("limit", "warnings"), [(2, 1), (3, 0)])
    def test_rows_of_one_place_that_fill_a_page(
        self, caplog: pytest.LogCaptureFixture, limit: int, warnings: int
    ) -> None:
        walk = PageWalk[str]("m", "", limit)
        walk.take(Page(["a", "b"], "1"))
        assert walk.take(Page(["a", "b"], "1")) == []
        assert (walk.done, len(caplog.messages)) == (True, warnings)


class Canned:
    """A transport that gives one answer for ever."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def send(self, *_: Any) -> Response:
        return Response(200, {}, self.body)

    def close(self) -> None:
        """Nothing is open."""


DAYS = {"date_from": "2026-01-01", "date_to": "2026-01-31"}
NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


def whole(api: Emulator, limit: int = 1000, **more: Any) -> list[HistoryEvent]:
    with AltcraftClient(api.url, api.token, list_id=1, retry=Retry(attempts=2)) as asking:
        return list(asking.iter_database_history(**DAYS, page_size=limit, **more))


class TestOnTheEmulator:
    """Where its cursor names a second, and rows differ by milliseconds."""

    @pytest.mark.parametrize("cursor", ["exclusive", "inclusive"])
    @pytest.mark.parametrize("limit", [5, 6, 7])
    def test_several_rows_a_second(self, altcraft_api: Emulator, cursor: Any, limit: int) -> None:
        altcraft_api.cursor = cursor
        altcraft_api.add_profile(email="ann@example.com")
        for number in range(30):
            at = NOON + dt.timedelta(seconds=number // 4, milliseconds=number % 4)
            altcraft_api.add_event("ann@example.com", "click", at=at)
        found = Counter(event.event_id for event in whole(altcraft_api, limit))
        assert found == Counter(row["event_id"] for row in altcraft_api.events())
        assert found.total() == 30

    @pytest.mark.parametrize("cursor", ["exclusive", "inclusive"])
    @pytest.mark.parametrize("empty", ["list", "null", "absent"])
    @pytest.mark.parametrize("events", [0, 1])
    def test_hardly_anything(
        self, altcraft_api: Emulator, cursor: Any, empty: Any, events: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        altcraft_api.cursor, altcraft_api.empty_data = cursor, empty
        altcraft_api.add_profile(email="ann@example.com")
        for _ in range(events):
            altcraft_api.add_event("ann@example.com", "click", at=NOON)
        assert len(whole(altcraft_api)) == events
        # httpx tells of each request where a level of INFO is set, as Airflow 2.11 does.
        assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
        first = altcraft_api.requests[0].body
        assert (first["from_id"], first["limit"], first["format"]) == ("", 1000, "json")
        assert (first["date_from"], first["date_to"]) == ("2025-12-31", "2026-02-02")

    def test_profile_fields(self, altcraft_api: Emulator) -> None:
        altcraft_api.add_profile(email="ann@example.com", custom={"CRM_ID": "7"})
        altcraft_api.add_event("ann@example.com", "click", at=NOON)
        (event,) = whole(altcraft_api, fields=("CRM_ID",))
        assert event.model_extra is not None
        assert event.model_extra["fields"] == {"CRM_ID": "7"}

    def test_a_page_that_fails_is_asked_again(self, altcraft_api: Emulator) -> None:
        altcraft_api.seed(profiles=3, events_per_profile=5, start=NOON, days=1)
        broken = faults.rows({"action": "x", "datetime": "soon"})
        altcraft_api.play(faults.ok(), broken, faults.ok(), faults.reset())
        assert len(whole(altcraft_api, limit=4)) == 15

    def test_both_clients_cut_at_the_window(self, altcraft_api: Emulator) -> None:
        """The days around it are asked for too."""
        altcraft_api.add_profile(email="ann@example.com")
        for days in range(5):
            altcraft_api.add_event("ann@example.com", "click", at=NOON + dt.timedelta(days=days))
        window = {"date_from": NOON + dt.timedelta(days=1), "date_to": NOON + dt.timedelta(days=3)}

        async def ask() -> list[HistoryEvent]:
            async with AsyncAltcraftClient(altcraft_api.url, altcraft_api.token, list_id=1) as asking:
                return [event async for event in asking.iter_database_history(**window)]

        with AltcraftClient(altcraft_api.url, altcraft_api.token, list_id=1) as asking:
            found = list(asking.iter_database_history(**window))
        assert found == asyncio.run(ask())
        assert [event.datetime.day for event in found] == [3, 4]
