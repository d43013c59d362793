"""Chooses the days to ask for where the account's time zone is given, and checks it by the events. Does no I/O.

In any zone a day begins at a multiple of a quarter of an hour. So an event in the first quarter of an hour of the asked
days proves that the answer begins there or earlier, and one in the last quarter that it ends there or later: another
zone, or an exclusive ``date_to``, would not have given it. Where no event proves an end, the neighbouring days that may
hold its events are asked too, and only those instants are kept that the first answer cannot have held.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.window import DAY, UTC, Window, day_of, midnight

log = logging.getLogger(__name__)

QUARTER = dt.timedelta(minutes=15)

WESTMOST, EASTMOST = dt.timedelta(hours=12), dt.timedelta(hours=14)
"""How far zones are behind and ahead of UTC, at most."""

_LONGEST_CHANGE = dt.timedelta(hours=3)
"""Changes of a clock make some days longer by as much, at most."""

_FIRST, _LAST = dt.datetime(1973, 1, 1, tzinfo=UTC), dt.datetime(9999, 12, 1, tzinfo=UTC)
"""Before the first, some zones were off UTC by other than quarters of an hour; after the last, the calendar ends."""


class _Dated(Protocol):
    @property
    def datetime(self) -> dt.datetime: ...


E = TypeVar("E", bound=_Dated)


@dataclass(frozen=True, slots=True)
class Asked:
    """Days of one request, and the instants to keep of its events.

    Attributes:
        first: ``date_from`` of the request.
        last: ``date_to`` of the request.
        kept: the instants to keep.
        nominal: the days in the account's zone, within the window.
        why: the reason to ask them in addition to others; empty for the first ones.
    """

    first: dt.date
    last: dt.date
    kept: Window
    nominal: Window
    why: str = ""

    @classmethod
    def widely(cls, window: Window) -> Asked:
        """Return the days that hold the window in any zone, also if ``date_to`` is exclusive."""
        first, last = window.asked
        assert first is not None  # noqa: S101 - callers have both ends
        assert last is not None  # noqa: S101
        return cls(first, last, window, window)


@dataclass(frozen=True, slots=True)
class Found:
    """The first and the last instant of the events that were kept of an answer."""

    first: dt.datetime
    last: dt.datetime

    @classmethod
    def of(cls, instants: Iterable[dt.datetime], before: Found | None = None) -> Found | None:
        """Return the first and last of these instants and those before; ``None`` where there are none."""
        known = [*instants, *((before.first, before.last) if before else ())]
        return cls(min(known), max(known)) if known else None


class AskedDays:
    """The days of one window: those to ask first, and those to ask after the first answers.

    Args:
        window: both ends are given.
        zone: the account's, as the connection says.
        ranges: into how many ranges of days the window is cut, at most one a day.
        now: no events are expected from then on, so days after it cost nothing.
    """

    def __init__(self, window: Window, zone: ZoneInfo, ranges: int = 1, now: dt.datetime | None = None) -> None:
        assert window.start is not None  # noqa: S101 - as in `Asked.widely`
        assert window.end is not None  # noqa: S101
        self._start, self._end, self._window, self._zone = window.start, window.end, window, zone
        first = day_of(self._start, zone).toordinal()
        last = day_of(self._end - dt.timedelta.resolution, zone).toordinal()
        count = last - first + 1
        ranges = min(ranges, count)
        borders = [dt.date.fromordinal(first + count * index // ranges) for index in range(ranges + 1)]
        self.asked = [Asked(day, after - DAY, window, self._nominal(day, after)) for day, after in pairwise(borders)]
        self._to_come = midnight(borders[-1], zone) >= (now or dt.datetime.now(UTC))
        if self._to_come:
            final = self.asked[-1]
            self.asked[-1] = Asked(final.first, max(final.last, self._last_possible() + DAY), window, final.nominal)

    @classmethod
    def known(
        cls, window: Window, zone: ZoneInfo | None, ranges: int = 1, now: dt.datetime | None = None
    ) -> AskedDays | None:
        """Return the days; ``None``, to ask the days around the window, where the zone or an end is not known."""
        if zone is None or window.start is None or window.end is None:
            return None
        if not _FIRST <= window.start < window.end < _LAST:
            return None
        return cls(window, zone, ranges, now)

    def missing(self, found: Sequence[Found | None]) -> list[Asked]:
        """Return the days to ask too, given the events found in each of the asked days.

        The instants to keep of each are disjoint from all others.
        """
        there = [(asked, each) for asked, each in zip(self.asked, found, strict=True) if each is not None]
        if not there:
            why = f"no event came of {self._name(self.asked[0].first, self.asked[-1].last)}"
            return self._too(self._start, self._end, self._first_possible(), self._last_possible() + DAY, why)
        inclusive = any(_proves_inclusive(asked, each) for asked, each in there)
        (earliest, begin), (latest, finish) = there[0], there[-1]
        missing: list[Asked] = []
        if (proved := quarter_of(begin.first)) > self._start:
            why = f"no event proves that {self.asked[0].first} begins by {self._start.isoformat()}"
            last = self.asked[0].first - DAY if inclusive else earliest.first
            missing += self._too(self._start, proved, self._first_possible(), last, why)
        if not inclusive:
            for (before, left), (after, right) in pairwise(there):
                why = f"no event proves that {before.last} is within what is asked to {before.last}"
                ended, begun = quarter_of(left.last) + QUARTER, quarter_of(right.first)
                missing += self._too(ended, begun, before.last, after.first, why)
        proved = quarter_of(finish.last) + QUARTER
        surely = self._to_come and (inclusive or latest is self.asked[-1])
        if proved < self._end and not surely:
            why = f"no event proves that {self.asked[-1].last} is asked to {self._end.isoformat()}"
            first, more = (self.asked[-1].last + DAY, 0) if inclusive else (latest.last, 1)
            missing += self._too(proved, self._end, first, self._last_possible() + more * DAY, why)
        return missing

    def _too(self, start: dt.datetime, end: dt.datetime, first: dt.date, last: dt.date, why: str) -> list[Asked]:
        if start >= end or first > last:
            return []
        kept = Window(max(start, self._start), min(end, self._end))
        return [Asked(first, last, kept, kept, f"{why}: {self._name(first, last)} asked too")]

    def _name(self, first: dt.date, last: dt.date) -> str:
        return f"{first}" if first == last else f"{first} to {last}"

    def _nominal(self, day: dt.date, after: dt.date) -> Window:
        return Window(max(midnight(day, self._zone), self._start), min(midnight(after, self._zone), self._end))

    def _first_possible(self) -> dt.date:
        """Return the earliest day that holds the window's start in any zone."""
        return (self._start - WESTMOST).date()

    def _last_possible(self) -> dt.date:
        """Return the latest day that holds an instant of the window in any zone."""
        return (self._end - dt.timedelta.resolution + EASTMOST).date()


class DaysInTurn:
    """The days of one window, asked one after the other; ``kept`` notes the events.

    Args:
        window: both ends are given.
        zone: the account's, where it is known.

    Raises:
        ValueError: an end of the window is missing.
    """

    def __init__(self, window: Window, zone: ZoneInfo | None) -> None:
        if window.start is None or window.end is None:
            raise ValueError("date_from, date_to: the history of a whole database needs both")
        self._window, self._zone = window, zone
        self._found: Found | None = None
        self._by_others = 0

    def __iter__(self) -> Iterator[Asked]:
        days = AskedDays.known(self._window, self._zone)
        if days is None:
            yield Asked.widely(self._window)
            return
        yield from days.asked
        if missing := days.missing([self._found]):
            say_asked_wider(missing)
            yield from missing
            warn_of_zone(self._zone, self._by_others)

    def kept(self, asked: Asked, events: Sequence[E]) -> list[E]:
        """Return the events to keep of an answer, and note them."""
        kept = [event for event in events if event.datetime in asked.kept]
        if asked.why:
            self._by_others += len(kept)
        else:
            self._found = Found.of((event.datetime for event in kept), self._found)
        return kept


def say_asked_wider(missing: Iterable[Asked]) -> None:
    """Log why more days are asked."""
    for each in missing:
        log.info("Asked wider: %s", each.why)


def warn_of_zone(zone: ZoneInfo | None, events: int) -> None:
    """Warn where events came from days that should have held none: the time zone may be wrong."""
    if events:
        log.warning(
            "timezone: %s of the window came with the days around those of %s: check the connection's "
            "timezone; where it is right, the platform takes date_to as exclusive",
            counted(events, "event"),
            zone,
        )


def quarter_of(instant: dt.datetime) -> dt.datetime:
    """Return the beginning of the quarter of an hour that holds the instant."""
    return instant.replace(minute=instant.minute // 15 * 15, second=0, microsecond=0)


def _proves_inclusive(asked: Asked, found: Found) -> bool:
    """Return whether the events span more than they could with an exclusive ``date_to``."""
    days = (asked.last - asked.first).days
    # Of a single day nothing would have come.
    return not days or found.last - found.first > days * DAY + _LONGEST_CHANGE
