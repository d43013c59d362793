"""How a database is cut: each event in one range, each range asked wide enough."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.altcraft.extract.database.ranges import Range, compose, cut, default_ranges
from airflow_provider.altcraft.window import Window

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
INSTANTS = st.integers(0, 40 * 86_400).map(lambda seconds: START + dt.timedelta(seconds=seconds))
WHOLE = [(0, 1)]


@given(INSTANTS, INSTANTS, INSTANTS, st.integers(1, 50), st.integers(1, 5), st.integers(0, 2**64 - 1))
def test_each_event_is_in_one_range(
    one: dt.datetime, other: dt.datetime, at: dt.datetime, ranges: int, parts: int, xxh: int
) -> None:
    window = Window(min(one, other), max(one, other))
    found = cut(window, ranges, [(index, parts) for index in range(parts)])
    holding = [each for each in found if at in each.window and each.low <= xxh < each.high]
    assert len(holding) == (at in window)


@given(INSTANTS, st.integers(1, 40), st.integers(-12, 14), st.booleans())
def test_whatever_the_platforms_day_is_all_of_a_range_is_asked(
    at: dt.datetime, ranges: int, hours: int, inclusive: bool
) -> None:
    window = Window(START, START + dt.timedelta(days=41))
    (kept,) = [each for each in cut(window, ranges, WHOLE) if at in each.window]
    first, last = kept.window.asked
    day = (at + dt.timedelta(hours=hours)).date()
    assert first is not None
    assert last is not None
    assert first <= day <= (last if inclusive else last - dt.timedelta(days=1))


def test_days_are_shared_out_evenly_and_nothing_is_empty() -> None:
    window = Window.of("2026-01-01", "2026-01-10")
    days = [len(each.window.days()) for each in cut(window, 4, WHOLE)]
    assert days == [2, 3, 2, 3]
    assert len(cut(window, 99, WHOLE)) == 10
    assert cut(Window(START, START), 4, WHOLE) == []


@pytest.mark.parametrize(
    ("last", "ranges"), [("2026-01-01", 1), ("2026-01-13", 1), ("2026-01-14", 2), ("2026-12-31", 16)]
)
def test_a_range_for_each_whole_week(last: str, ranges: int) -> None:
    assert default_ranges(Window.of("2026-01-01", last), 16) == ranges


def test_cursors_and_bounds() -> None:
    first, last = cut(Window.of("2026-01-01", "2026-01-01"), 1, [(0, 2), (1, 2)])
    assert (first.first_cursor, last.first_cursor) == ("", "8000000000000000.20010101")
    assert (first.bounds, last.bounds) == (("0" * 16, "8" + "0" * 15), ("8" + "0" * 15, "g"))
    assert compose(10) == "000000000000000a.20010101"
    assert Range(Window()).whole
    assert not first.whole
