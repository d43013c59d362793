"""What two pulls of the same days tell of late events."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from airflow_provider.altcraft.extract._lateness import HOUR, WHOLE_DAY, EventCounts, lateness
from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.window import Window

MIDNIGHT = dt.datetime(2026, 1, 10, tzinfo=dt.UTC)
"""When the earlier pull began; the later one begins a day after."""
TOMORROW = MIDNIGHT + dt.timedelta(days=1)
WEEK_BEFORE = Window(MIDNIGHT - dt.timedelta(days=4), MIDNIGHT)
WEEK = Window(TOMORROW - dt.timedelta(days=4), TOMORROW)


def seen(window: Window, began: dt.datetime, events: Iterable[tuple[float, str]]) -> EventCounts:
    """A pull that found events of so many hours before ``MIDNIGHT``."""
    counted = EventCounts(window, began)
    for hours, action in events:
        row = dict.fromkeys(SCHEMA.names) | {"action": action, "count": 1, "event_key": "k"}
        at = MIDNIGHT - dt.timedelta(hours=hours)
        counted.add(pa.RecordBatch.from_pylist([row | {"datetime": at}] if at in window else [], SCHEMA))
    return counted


def compare(before: list[tuple[float, str]], now: list[tuple[float, str]], lookback: int = 3, **more: Any) -> Any:
    earlier = json.loads(json.dumps(seen(WEEK_BEFORE, MIDNIGHT, before).state | more))
    return lateness(seen(WEEK, TOMORROW, now), earlier, lookback, TOMORROW)


def test_none_came_late() -> None:
    events = [(1.5, "open"), (2.5, "click"), (2.5, "click")]
    assert compare(events, [*events, (-3.0, "open")]) == {
        "compared": {"start": "2026-01-07T00:00:00+00:00", "end": "2026-01-10T00:00:00+00:00"},
        "events": 0,
        "hours": None,
        "by_action": {},
        "needed_lookback": 0,
        "recommended_lookback": 3,
    }


def test_one_came_late() -> None:
    """It was not there at midnight, and was a day after: so it came from 1 to 26 hours after its time."""
    found = compare([(1.5, "open")], [(1.5, "open"), (1.5, "open")])
    bounds = {
        "at_least": dict.fromkeys(("median", "p99", "max"), 1.0),
        "at_most": dict.fromkeys(("median", "p99", "max"), 26.0),
    }
    assert (found["events"], found["hours"]) == (1, bounds)
    assert found["by_action"] == {"open": {"events": 1, "hours": bounds}}
    assert (found["needed_lookback"], found["recommended_lookback"]) == (1, 1)


def test_spread_by_action() -> None:
    late = [(1.5, "open")] * 98 + [(30.5, "click"), (50.5, "click")]
    found = compare([(1.5, "open")], [*late, (1.5, "open")])
    assert found["hours"]["at_least"] == {"median": 1.0, "p99": 30.0, "max": 50.0}
    assert found["by_action"]["click"]["hours"]["at_most"] == {"median": 55.0, "p99": 75.0, "max": 75.0}
    assert (found["needed_lookback"], found["recommended_lookback"]) == (3, 6)


def test_where_the_oldest_day_still_had_some_there_may_be_older_ones() -> None:
    assert compare([], [(60.0, "open")])["recommended_lookback"] == 6
    assert compare([], [(30.0, "open")])["recommended_lookback"] == 2


def test_what_came_late_before_is_remembered() -> None:
    found = compare([], [], needed_lookback=2)
    assert (found["needed_lookback"], found["recommended_lookback"]) == (2, 2)


def test_events_that_went_are_not_late_ones() -> None:
    assert compare([(1.5, "open"), (2.5, "open")], [(1.5, "open")])["events"] == 0


def test_nothing_to_compare_with() -> None:
    now = seen(WEEK, TOMORROW, [])
    assert lateness(now, None, 3, TOMORROW) is None
    long_ago = Window(MIDNIGHT - dt.timedelta(days=40), MIDNIGHT - dt.timedelta(days=30))
    assert lateness(now, seen(long_ago, MIDNIGHT, []).state, 3, TOMORROW) is None


def test_a_long_window_is_counted_by_days() -> None:
    long = Window(MIDNIGHT - dt.timedelta(days=30), MIDNIGHT)
    before = seen(long, MIDNIGHT, [(1.5, "open"), (5.0, "open")])
    assert (before.seconds, seen(WEEK, TOMORROW, []).seconds) == (WHOLE_DAY, HOUR)
    found = lateness(seen(WEEK, TOMORROW, [(1.5, "open"), (5.0, "open"), (6.0, "open")]), before.state, 3, TOMORROW)
    assert found is not None
    assert found["events"] == 1
    assert found["hours"]["at_least"]["max"] == 0.0
    assert found["hours"]["at_most"]["max"] == 48.0


def test_what_is_kept_is_small() -> None:
    actions = [f"action_{number}" for number in range(20)]
    events = [(float(hours), action) for hours in range(96) for action in actions]
    assert len(json.dumps(seen(WEEK_BEFORE, MIDNIGHT, events).state)) < 40_000


def test_resumed() -> None:
    before = seen(WEEK_BEFORE, MIDNIGHT, [(1.5, "open")])
    again = EventCounts(WEEK_BEFORE)
    again.resume(json.loads(json.dumps(before.state)))
    assert again.state == before.state


def test_days_are_those_of_the_windows_zone() -> None:
    """Of a window too long for hours. Moscow's day ends at 21:00 UTC."""
    moscow = ZoneInfo("Europe/Moscow")
    window, later = (Window.of("2025-12-25", f"2026-01-{day}", moscow) for day in ("08", "09"))
    events = [(30.0, "open"), (26.0, "open")]  # 21:00 and 01:00 of the 8th and 9th in Moscow
    counts = seen(later, TOMORROW, [*events, (28.0, "open")])
    assert counts.seconds == WHOLE_DAY
    ordinals = {dt.date(1970, 1, 1) + dt.timedelta(days=place): count for (place, _), count in counts.counts.items()}
    assert ordinals == {dt.date(2026, 1, 8): 2, dt.date(2026, 1, 9): 1}
    earlier = seen(window, MIDNIGHT, events).state
    assert earlier["timezone"] == "Europe/Moscow"
    late = seen(later, TOMORROW, [*events, (30.5, "open")])
    found = lateness(late, earlier, 15, TOMORROW)
    assert found is not None
    assert (found["events"], found["needed_lookback"]) == (1, 1)
    assert lateness(late, earlier | {"timezone": "UTC"}, 15, TOMORROW) is None
