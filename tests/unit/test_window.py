"""Windows: dates and instants, what is within, and what has to be asked for it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.altcraft.window import Window, parse_date, utc

D = dt.date
UTC = dt.UTC


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("date_from", "date_to", "start", "end"),
    [
        ("2026-01-02", "2026-01-02", "2026-01-02T00:00Z", "2026-01-03T00:00Z"),
        ("20260102", D(2026, 1, 3), "2026-01-02T00:00Z", "2026-01-04T00:00Z"),
        ("2026-01-02T03:00:00+03:00", "2026-01-03 00:00:00+00:00", "2026-01-02T00:00Z", "2026-01-03T00:00Z"),
        (at("2026-01-02T05:00Z"), None, "2026-01-02T05:00Z", None),
        (None, "9999-12-31", None, None),
        (at("2026-01-02T05:00Z"), at("2026-01-02T05:00Z"), "2026-01-02T05:00Z", "2026-01-02T05:00Z"),
    ],
)
def test_dates_and_instants(date_from: Any, date_to: Any, start: str | None, end: str | None) -> None:
    window = Window.of(date_from, date_to)
    assert (window.start, window.end) == (start and at(start), end and at(end))
    assert window.to_json() == {
        "start": start and at(start).isoformat(),
        "end": end and at(end).isoformat(),
    }


@pytest.mark.parametrize(
    ("date_from", "date_to", "said"),
    [
        ("", None, "date_from"),
        ("None", None, "date_from"),
        (None, "2026-13-01", "date_to"),
        ("2026-01-02T00:00:00", None, "no time zone"),
        (dt.datetime(2026, 1, 2), None, "no time zone"),  # noqa: DTZ001
        (5, None, "got int"),
        ("2026-01-02", "2026-01-01", "before"),
        ("2026-01-02T00:00:01Z", "2026-01-02T00:00:00Z", "before"),
        ("0001-01-01T00:00:00+14:00", None, "outside the years"),
    ],
)
def test_refused(date_from: Any, date_to: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Window.of(date_from, date_to)


def test_the_ends() -> None:
    window = Window.of("2026-01-02", "2026-01-02")
    assert at("2026-01-02T00:00Z") in window
    assert at("2026-01-02T23:59:59.999999Z") in window
    assert at("2026-01-03T00:00Z") not in window
    assert at("2026-01-01T23:59:59.999999Z") not in window
    assert at("2026-01-02T05:00Z") in Window()


@given(
    st.integers(0, 10**9).map(lambda second: dt.datetime.fromtimestamp(10**9 + second, UTC)),
    st.timedeltas(dt.timedelta(0), dt.timedelta(days=40)),
    st.floats(0, 1, exclude_max=True),
    st.integers(-12 * 60, 14 * 60),
    st.booleans(),
)
def test_what_is_asked_covers_every_instant(
    start: dt.datetime, length: dt.timedelta, part: float, offset: int, inclusive: bool
) -> None:
    """Whatever the zone of the platform's days is, and whether its last day is inclusive."""
    window = Window(start, start + length)
    instant = start + length * part
    first, last = window.asked
    assert first is not None
    assert last is not None
    day = instant.astimezone(dt.timezone(dt.timedelta(minutes=offset))).date()
    if instant in window:
        assert first <= day
        assert day <= last if inclusive else day < last
    assert first >= start.date() - dt.timedelta(days=1)
    assert last <= (start + length).date() + dt.timedelta(days=2)


def test_what_is_asked_at_the_ends_of_the_calendar() -> None:
    assert Window.of("0001-01-01", "9999-12-30").asked == (D.min, D.max)
    assert Window().asked == (None, None)


def test_days() -> None:
    assert Window.of("2026-01-30", "2026-02-01").days() == [D(2026, 1, 30), D(2026, 1, 31), D(2026, 2, 1)]
    assert Window.of("2026-01-30T23:59Z", "2026-01-31T00:00Z").days() == [D(2026, 1, 30)]
    assert Window.of("2026-01-30T12:00Z", "2026-01-30T12:00Z").days() == []
    with pytest.raises(ValueError, match="both given"):
        Window.of("2026-01-30").days()


def test_utc() -> None:
    assert utc(at("2026-01-02T03:00+03:00")).isoformat() == "2026-01-02T00:00:00+00:00"
    assert utc(at("2026-01-02T03:00")).isoformat() == "2026-01-02T03:00:00+00:00"
    assert parse_date(D(2026, 1, 2), "x") == D(2026, 1, 2)
