"""The days that are asked where the account's zone is given: no event is lost or comes twice, whatever is true."""

from __future__ import annotations

import datetime as dt
import itertools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider.altcraft.client._days import Asked, AskedDays, Found
from airflow_provider.altcraft.window import DAY, UTC, Window

MINUTE = dt.timedelta(minutes=1)
LATER = dt.datetime(2100, 1, 1, tzinfo=UTC)

ZONES = [
    "UTC",
    "Europe/Moscow",
    "Europe/Riga",
    "America/New_York",
    "America/Sao_Paulo",  # the clock changes at midnight
    "America/Havana",
    "Asia/Beirut",
    "Asia/Kathmandu",  # +05:45
    "Pacific/Chatham",  # +12:45 and +13:45
    "Australia/Lord_Howe",  # changes by half an hour
    "Antarctica/Troll",  # changes by two hours
    "Pacific/Kiritimati",  # +14
    "Etc/GMT+12",
    "Pacific/Apia",  # left out 2011-12-30
]
# Around changes of clocks, and a day that a zone left out.
STARTS = [
    dt.datetime(2011, 12, 29, tzinfo=UTC),
    dt.datetime(2018, 11, 3, tzinfo=UTC),
    dt.datetime(2024, 3, 30, tzinfo=UTC),
    dt.datetime(2024, 10, 26, tzinfo=UTC),
    dt.datetime(2026, 1, 10, tzinfo=UTC),
]


@dataclass
class Platform:
    """One whose days are of its own zone."""

    zone: str
    inclusive: bool
    events: list[dt.datetime]
    answers: int = 0
    given: int = 0

    def ask(self, asked: Asked) -> list[dt.datetime]:
        """What is kept of the answer."""
        assert asked.first <= asked.last
        low = self.midnight(asked.first)
        high = self.midnight(asked.last + DAY if self.inclusive else asked.last)
        self.events.sort()
        answer = self.events[bisect_left(self.events, low) : bisect_left(self.events, high)]
        self.answers += 1
        self.given += len(answer)
        return [at for at in answer if at in asked.kept]

    def midnight(self, day: dt.date) -> dt.datetime:
        return dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def pull(
        self, window: Window, zone: str, ranges: int = 1, now: dt.datetime = LATER
    ) -> tuple[list[dt.datetime], list[Asked]]:
        days = AskedDays(window, ZoneInfo(zone), ranges, now)
        answers = [self.ask(each) for each in days.asked]
        missing = days.missing([Found.of(answer) for answer in answers])
        answers += [self.ask(each) for each in missing]
        return sorted(at for answer in answers for at in answer), missing


def within(events: Sequence[dt.datetime], window: Window) -> list[dt.datetime]:
    return sorted(at for at in events if at in window)


MINUTES = st.integers(-3 * 1440, 8 * 1440)
SPARSE = st.lists(MINUTES, max_size=12)
# Each quarter of an hour of a stretch of time.
DENSE = st.tuples(MINUTES, MINUTES).map(lambda ends: [*range(min(ends), max(ends), 15)])


@settings(max_examples=300, deadline=None)
@given(
    true=st.sampled_from(ZONES),
    said=st.sampled_from(ZONES),
    inclusive=st.booleans(),
    begin=st.sampled_from(STARTS),
    minutes=st.one_of(SPARSE, DENSE, st.tuples(SPARSE, DENSE).map(lambda both: both[0] + both[1])),
    start=st.one_of(st.integers(0, 3).map(lambda day: day * 1440), st.integers(0, 4320)),
    length=st.one_of(st.integers(1, 4).map(lambda day: day * 1440), st.integers(1, 5760)),
    ranges=st.integers(1, 5),
    now=st.one_of(st.just(LATER), MINUTES),
)
@example(  # the farthest zones there are
    true="Etc/GMT+12",
    said="Pacific/Kiritimati",
    inclusive=False,
    begin=STARTS[-1],
    minutes=[*range(-4320, 8640, 15)],
    start=0,
    length=1440,
    ranges=1,
    now=LATER,
)
def test_no_event_is_lost_and_none_comes_twice(
    true: str,
    said: str,
    inclusive: bool,
    begin: dt.datetime,
    minutes: list[int],
    start: int,
    length: int,
    ranges: int,
    now: dt.datetime | int,
) -> None:
    window = Window(begin + start * MINUTE, begin + (start + length) * MINUTE)
    at = begin + now * MINUTE if isinstance(now, int) else now
    platform = Platform(true, inclusive, [begin + minute * MINUTE for minute in minutes])
    found, _ = platform.pull(window, said, ranges, at)
    assert found == within(platform.events, window)


@pytest.mark.parametrize("hole", [(0, 0), (0, 25), (36, 48), (71, 200), (23, 97)])
@pytest.mark.parametrize("ranges", [1, 2])
def test_no_event_is_lost_by_any_two_zones(ranges: int, hole: tuple[int, int]) -> None:
    """Events twice an hour, but for some hours; windows that begin early and late by UTC."""
    begin = STARTS[-1]
    minutes = [minute for minute in range(-2880, 7200, 30) if not hole[0] * 60 <= minute < hole[1] * 60]
    events = [begin + minute * MINUTE for minute in minutes]
    for inclusive, true, said, hour in itertools.product((True, False), ZONES, ZONES, (0, 11, 23)):
        window = Window(begin + (24 + hour) * 60 * MINUTE, begin + (120 + hour) * 60 * MINUTE)
        for now in (LATER, begin + 3 * DAY):
            platform = Platform(true, inclusive, events)
            found, _ = platform.pull(window, said, ranges, now)
            assert found == within(platform.events, window), (inclusive, true, said, now)


def dense(first: str, days: int, zone: str) -> Platform:
    """An event each five minutes, a day before and after as well."""
    start = dt.datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return Platform(zone, True, [start + 5 * MINUTE * number for number in range(-288, (days + 1) * 288)])


@pytest.mark.parametrize("ranges", [1, 3])
def test_days_that_rows_prove_are_asked_alone(ranges: int) -> None:
    moscow = dense("2026-11-26", 3, "Europe/Moscow")
    window = Window(moscow.midnight(dt.date(2026, 11, 26)), moscow.midnight(dt.date(2026, 11, 29)))
    found, missing = moscow.pull(window, "Europe/Moscow", ranges)
    assert (missing, moscow.answers, moscow.given) == ([], ranges, len(found))


def test_a_day_of_utc_touches_two_of_moscow() -> None:
    moscow = dense("2026-11-26", 2, "Europe/Moscow")
    window = Window.of("2026-11-26", "2026-11-26")
    (asked,) = AskedDays(window, ZoneInfo("Europe/Moscow"), now=LATER).asked
    assert (asked.first, asked.last) == (dt.date(2026, 11, 26), dt.date(2026, 11, 27))
    assert moscow.pull(window, "Europe/Moscow")[1] == []


def test_a_side_that_no_event_proves_is_asked_too() -> None:
    moscow = dense("2026-11-26", 1, "Europe/Moscow")
    window = Window(moscow.midnight(dt.date(2026, 11, 26)), moscow.midnight(dt.date(2026, 11, 27)))
    assert window.start is not None
    moscow.events = [at for at in moscow.events if not window.start <= at < window.start + 3 * 60 * MINUTE]
    found, (missing,) = moscow.pull(window, "Europe/Moscow")
    assert (missing.first, missing.last) == (dt.date(2026, 11, 25), dt.date(2026, 11, 25))
    assert missing.why == ("no event proves that 2026-11-26 begins by 2026-11-25T21:00:00+00:00: 2026-11-25 asked too")
    assert found == within(moscow.events, window)


def test_what_is_yet_to_come_is_asked_at_once() -> None:
    """A poll walks the days of its lookback: nothing can prove that a day is over which is not."""
    moscow = dense("2026-11-26", 1, "Europe/Moscow")
    now = max(moscow.events)
    found, missing = moscow.pull(Window(now - DAY, now + DAY), "Europe/Moscow", now=now)
    assert missing == []
    assert len(found) == 288 + 1


def test_nothing_is_known_without_a_zone_or_an_end() -> None:
    moscow, day = ZoneInfo("Europe/Moscow"), Window.of("2026-01-01", "2026-01-01")
    assert AskedDays.known(day, moscow)
    assert AskedDays.known(day, None) is None
    early, late = Window.of("1972-12-31", "2026-01-01"), Window.of("2026-01-01", "9999-12-30")
    for window in (Window(), Window.of("2026-01-01"), early, late, Window(day.start, day.start)):
        assert AskedDays.known(window, moscow) is None
