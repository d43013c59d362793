"""From which moment on an event counts: it is moved over every border there is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.sensors.modes import DUE, MODES, context, outcome, sensor

Connect = Callable[..., str]
SECOND = dt.timedelta(seconds=1)
MICROSECOND = dt.timedelta(microseconds=1)
HOURS = range(-12, 15)  # the platform's zone is not known


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    return altcraft_api


def counts(api: Emulator, at: dt.datetime, *, mode: str = "deferrable", due: dt.datetime = DUE, **given: Any) -> bool:
    """Whether an event of that moment meets a wait of a run that was due then."""
    email = f"user{len(list(api.events()))}@example.com"
    api.add_profile(email=email)
    api.add_event(email, "form_post", at=at)
    state, _ = outcome(sensor(mode, profile=email, timeout=0, **given), context(run_after=due))
    assert state in {"success", "timed out"}
    return state == "success"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("style", ["new", "old"])
def test_the_second(api: Emulator, mode: str, style: Any) -> None:
    api.style = style  # the old one has no fractions
    whole = DUE.replace(microsecond=0)
    assert counts(api, DUE, mode=mode)
    assert counts(api, DUE - 500 * 1000 * MICROSECOND, mode=mode)
    assert counts(api, whole, mode=mode)
    assert not counts(api, whole - MICROSECOND, mode=mode)
    assert not counts(api, whole - SECOND, mode=mode)


# The platform's zone is nothing that a mode could know of, so each mode is tried at the borders.
@pytest.mark.parametrize(
    ("mode", "hours"),
    [("deferrable", hours) for hours in HOURS]
    + [(mode, hours) for mode in MODES if mode != "deferrable" for hours in (HOURS[0], 0, HOURS[-1])],
)
def test_the_day_in_utc_and_in_the_platforms_zone(api: Emulator, mode: str, hours: int) -> None:
    offset = dt.timedelta(hours=hours)
    api.timezone = dt.timezone(offset)
    midnight = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    for due in (midnight, midnight - offset, midnight - SECOND, midnight - offset - SECOND):
        assert counts(api, due, mode=mode, due=due)
        assert counts(api, due + SECOND, mode=mode, due=due)
        assert not counts(api, due - MICROSECOND, mode=mode, due=due)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("month", [3, 4, 10, 11])
def test_daylight_saving(api: Emulator, zone: str, month: int) -> None:
    """Each hour of the days on which clocks are moved, with ``since`` and the run's due time in that zone."""
    hour = dt.datetime(2026, month, 1, tzinfo=dt.UTC)
    while hour.month == month:
        later = hour + dt.timedelta(hours=1)
        moved = later.astimezone(ZoneInfo(zone)).utcoffset() != hour.astimezone(ZoneInfo(zone)).utcoffset()
        for due in (hour, later, later + dt.timedelta(minutes=30)) if moved else ():
            local = due.astimezone(ZoneInfo(zone))
            for given in ({"due": local}, {"since": local}, {"since": local.isoformat()}):
                assert counts(api, due, **given)
                assert not counts(api, due - MICROSECOND, **given)
        hour = later


@pytest.mark.parametrize("mode", MODES)
def test_the_due_time_stays_where_it_is(api: Emulator, mode: str) -> None:
    """A retry, and a try after clearing, poll from the same moment on: the run was due when it was."""
    run = context()
    found = sensor(mode, timeout=0.05)
    assert outcome(found, run)[0] == "timed out"
    api.add_event("ann@example.com", "form_post", at=DUE)
    run["ti"].try_number = 5
    assert outcome(found, run)[0] == "success"


@pytest.mark.parametrize("mode", MODES)
def test_a_late_event_counts_by_its_own_time(api: Emulator, mode: str) -> None:
    """It was done minutes before anybody could see it."""
    now = dt.datetime.now(dt.UTC)
    api.add_event("ann@example.com", "form_post", at=now - dt.timedelta(minutes=5))
    api.play(faults.null_data())  # for the first poll it cannot be seen yet
    found = sensor(mode, timeout=60)
    state, events = outcome(found, context(run_after=now - dt.timedelta(minutes=5)))
    assert state == "success"
    assert dt.datetime.fromisoformat(events[0]["datetime"]) < now
    assert len(api.requests) == 2
    later = context(run_after=now - dt.timedelta(minutes=4))
    assert outcome(sensor(mode, timeout=0), later)[0] == "timed out"


@pytest.mark.parametrize("mode", MODES)
def test_none_and_dates(api: Emulator, mode: str) -> None:
    day = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert counts(api, day, mode=mode, since="2026-01-02")
    assert not counts(api, day - MICROSECOND, mode=mode, since=dt.date(2026, 1, 2))
    assert counts(api, day.replace(year=2001), mode=mode, since=None)
    assert "date_from" not in api.requests[-1].body


def test_rows_that_the_platform_gives_beyond_what_was_asked_are_cut(api: Emulator) -> None:
    row = {"action": "form_post", "datetime": "2025-12-31T00:00:00Z"}
    api.play_forever(faults.rows(row))
    assert outcome(sensor("deferrable", timeout=0))[0] == "timed out"
