"""Finds the time zone in which the platform counts days, from real events. Does no I/O."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.client._days import EASTMOST, QUARTER, WESTMOST, quarter_of
from airflow_provider.altcraft.window import DAY, UTC, midnight

MOST_DAYS = 3
"""Days that are asked to find the zone, a page of each."""

_KNOWN = {
    0: "UTC",
    1: "Europe/Berlin",
    2: "Europe/Kaliningrad",
    3: "Europe/Moscow",
    4: "Europe/Samara",
    5: "Asia/Yekaterinburg",
    6: "Asia/Omsk",
    7: "Asia/Novosibirsk",
    8: "Asia/Irkutsk",
    9: "Asia/Yakutsk",
    10: "Asia/Vladivostok",
    11: "Asia/Magadan",
    12: "Asia/Kamchatka",
}
"""A zone for each of the offsets that accounts are likely to have."""


class ZoneFinder:
    """Narrows down how far the account's days are ahead of UTC.

    An event of a day shows that the day begins no later than its quarter of an hour, and ends no earlier.
    """

    def __init__(self) -> None:
        self.least, self.most = -WESTMOST, EASTMOST
        self.events = 0
        self.days: list[dt.date] = []

    def add(self, day: dt.date, instants: Iterable[dt.datetime]) -> None:
        """Add the events of a day."""
        known = list(instants)
        if not known:
            return
        begin = midnight(day, UTC)
        self.least = max(self.least, begin - quarter_of(min(known)))
        self.most = min(self.most, begin + DAY - QUARTER - quarter_of(max(known)))
        self.events += len(known)
        self.days.append(day)

    @property
    def found(self) -> bool:
        """Whether only one offset is left."""
        return bool(self.events) and self.least == self.most

    def text(self, timezone: str | None) -> str:
        """Return the result and what to do, in words; empty where there were no events.

        Args:
            timezone: of the connection.
        """
        if not self.events or self.least > self.most:  # the clock has changed on these days
            return ""
        events = f"{counted(self.events, 'event')} of {_named(self.days)}"
        offset = _offset(self.least)
        where = offset if self.found else f"a zone from {offset} to {_offset(self.most)}"
        said = f" Days are counted in {where}, by {events}"
        if timezone is None:
            hours = self.least / dt.timedelta(hours=1)
            such = f", such as {_KNOWN[int(hours)]}" if self.found and hours in _KNOWN else ""
            return f"{said}; set timezone to the name of the account's time zone{such}."
        at = midnight(self.days[0], ZoneInfo(timezone)).astimezone(ZoneInfo(timezone)).utcoffset()
        if at is None or not self.least <= at <= self.most:
            return f"{said}, but timezone, {timezone}, is {_offset(at or dt.timedelta(0))}: correct it."
        return f"{said}, as timezone says." if self.found else f"{said}; timezone, {timezone}, is one."


def recent_days(now: dt.datetime) -> list[dt.date]:
    """Return the days to ask: the latest that are over in every zone, newest first."""
    return [now.date() - number * DAY for number in range(2, 2 + MOST_DAYS)]


def _named(days: list[dt.date]) -> str:
    return f"{days[0]}" if len(days) == 1 else f"{min(days)} to {max(days)}"


def _offset(offset: dt.timedelta) -> str:
    hours, minutes = divmod(round(abs(offset) / dt.timedelta(minutes=1)), 60)
    return f"UTC{'-' if offset < dt.timedelta(0) else '+'}{hours:02}:{minutes:02}"
