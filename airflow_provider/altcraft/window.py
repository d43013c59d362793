"""The window of a pull: its instants, and the days to ask the platform for.

A date means the whole day of a time zone, UTC unless another is given, and both ends are inclusive; a date-time is an
instant and the end is exclusive. So ``{{ ds }}`` given twice is one day, and Airflow's data interval is exactly itself.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

UTC = dt.UTC
"""The time zone where none is given."""
DAY = dt.timedelta(days=1)
"""24 hours; a day of a time zone may be longer or shorter."""

_MOMENT = dt.timedelta.resolution

DateLike: TypeAlias = "dt.date | dt.datetime | str | None"
"""A date, a date-time or its ISO 8601 text, or nothing."""


def utc(value: dt.datetime) -> dt.datetime:
    """Return the same instant in UTC; one without a zone is taken to be UTC, as everything in Airflow is.

    Raises:
        ValueError: in UTC it lies outside the years 1 to 9999.
    """
    try:
        return value.replace(tzinfo=UTC) if value.utcoffset() is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC it lies outside the years 1 to 9999") from None


def zone_of(name: object, argument: str = "timezone") -> ZoneInfo:
    """Return the time zone of this name.

    Raises:
        ValueError: there is no such zone; the message names the argument.
    """
    if isinstance(name, str) and name.strip():
        # In this order: not a file's name, not a zone's name, a folder of zones.
        with suppress(ValueError, ZoneInfoNotFoundError, OSError):
            return ZoneInfo(name.strip())
    raise ValueError(f"{argument}: expected the IANA name of a time zone, such as Europe/Moscow, got {name!r}")


def parse_date(value: DateLike, name: str, zone: dt.tzinfo | None = None) -> dt.date | dt.datetime | None:
    """Return the date or aware date-time (UTC) of a user's or a template's value.

    Args:
        value: what is given.
        name: the argument.
        zone: of a text without a zone, such as a run's partition key; ``None`` refuses one.

    Raises:
        ValueError: not a date, or a date-time without a time zone or outside the years 1 to 9999 in UTC; the message
            names the argument.
    """
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        try:
            value = dt.date.fromisoformat(text) if len(text) <= 10 else dt.datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(
                f"{name}: {value!r} is neither a date (YYYY-MM-DD) nor a date-time with a time zone (ISO 8601)"
            ) from None
        if zone is not None and isinstance(value, dt.datetime) and value.utcoffset() is None:
            value = value.replace(tzinfo=zone)
    if isinstance(value, dt.datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{name}: {value.isoformat()!r} has no time zone; write it with one, as in '…+00:00'")
        try:
            return utc(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if isinstance(value, dt.date):
        return value
    raise ValueError(f"{name}: expected a date, a date-time or a string, got {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class Window:
    """Instants from ``start`` (inclusive) to ``end`` (exclusive), UTC; ``None`` leaves that side open.

    Its days are those of ``zone``, 23 and 25 hours long where the clock changes.
    """

    start: dt.datetime | None = None
    end: dt.datetime | None = None
    zone: dt.tzinfo = field(default=UTC, compare=False, kw_only=True)

    @classmethod
    def of(cls, date_from: DateLike = None, date_to: DateLike = None, zone: dt.tzinfo | None = None) -> Window:
        """Return the window between two dates or date-times.

        Args:
            date_from: its first day or instant.
            date_to: its last day, or the first instant after it.
            zone: of the days, and of date-times without a zone, which are refused where it is ``None``. A midnight that
                is given as both ends, as a run's partition key is, is that day.

        Raises:
            ValueError: an end is not a date or has no zone, or the window ends before it starts.
        """
        if zone is not None and date_from == date_to and (day := _day_of_key(date_from)):
            date_from = date_to = day
        first, last = parse_date(date_from, "date_from", zone), parse_date(date_to, "date_to", zone)
        zone = zone or UTC
        start = first if first is None or isinstance(first, dt.datetime) else midnight(first, zone)
        end: dt.datetime | None
        if isinstance(last, dt.datetime):
            end = last
        else:  # the calendar's last day is as good as no end
            end = None if last is None or last == dt.date.max else midnight(last + DAY, zone)
        # A date to the day before ends just where the window starts; two equal instants are an empty interval.
        backwards = type(first) is type(last) is dt.date and last < first
        if start is not None and end is not None and (end < start or backwards):
            raise ValueError(f"date_to ({date_to}) is before date_from ({date_from})")
        return cls(start, end, zone=zone)

    def __contains__(self, instant: dt.datetime) -> bool:
        """Return whether the instant lies within."""
        return (self.start is None or instant >= self.start) and (self.end is None or instant < self.end)

    @property
    def bounds(self) -> list[tuple[str, dt.datetime]]:
        """The ends, unless open, each with the comparison of instants to it: ``>=`` or ``<``."""
        both = ((">=", self.start), ("<", self.end))
        return [(compare, end) for compare, end in both if end is not None]

    @property
    def asked(self) -> tuple[dt.date | None, dt.date | None]:
        """The first and last day to ask the platform for, wide enough whatever its time zone.

        A day's border is in a zone that nobody documents, so a day more is asked on each side; whether the platform's
        last day is inclusive is not documented either, so one more at the end.
        """
        start = None if self.start is None else _clamp(self.start.date().toordinal() - 1)
        end = None if self.end is None else _clamp(self._last(self.end).toordinal() + 2)
        return start, end

    def days(self) -> list[dt.date]:
        """Return each day that the window touches, in order; empty for an empty window.

        Raises:
            ValueError: a window without both ends has no list of days.
        """
        if self.start is None or self.end is None:
            raise ValueError("the days of a window can be listed only where date_from and date_to are both given")
        if self.start == self.end:
            return []
        first, last = (day_of(instant, self.zone) for instant in (self.start, self.end - _MOMENT))
        return [dt.date.fromordinal(day) for day in range(first.toordinal(), last.toordinal() + 1)]

    def earlier(self, days: int) -> Window:
        """Return the window that begins some days earlier.

        Raises:
            OverflowError: there is no such day.
        """
        start = None if self.start is None else back(self.start, days * DAY, self.zone)
        return Window(start, self.end, zone=self.zone)

    @property
    def words(self) -> str:
        """Both ends as a log gives them, in the window's time zone."""
        ends = (
            ("from", self.start),
            ("to before" if self.start else "before", self.end),
        )
        said = [f"{word} {_shown(moment, self.zone)}" for word, moment in ends if moment is not None]
        return " ".join(said) or "of any time"

    def to_json(self) -> dict[str, str | None]:
        """Both ends in ISO 8601, UTC, for results and events."""
        return {
            "start": None if self.start is None else self.start.isoformat(),
            "end": None if self.end is None else self.end.isoformat(),
        }

    def _last(self, end: dt.datetime) -> dt.date:
        """Return the last day with an instant of the window in it; an empty window still names a day to ask for."""
        return end.date() if end == self.start else (end - _MOMENT).date()


def midnight(day: dt.date, zone: dt.tzinfo) -> dt.datetime:
    """Return the day's first instant; where a change of the clock skips midnight, the change.

    Raises:
        ValueError: in UTC it lies outside the years 1 to 9999.
    """
    return utc(dt.datetime(day.year, day.month, day.day, tzinfo=zone))


def day_of(instant: dt.datetime, zone: dt.tzinfo) -> dt.date:
    """Return the zone's day that holds the instant."""
    try:
        return instant.astimezone(zone).date()
    except OverflowError:  # at the ends of the calendar
        return instant.date()


def back(instant: dt.datetime, by: dt.timedelta, zone: dt.tzinfo) -> dt.datetime:
    """Return the instant a time earlier: whole days by the zone's clock, the rest by absolute time.

    Raises:
        OverflowError: there is no such day.
    """
    day, days = day_of(instant, zone), by.days * DAY
    if instant == midnight(day, zone):
        return midnight(day - days, zone) - (by - days)
    # Python subtracts two date-times of the same zone by that zone's clock.
    return (instant.astimezone(zone) - days).astimezone(UTC) - (by - days)


def _day_of_key(text: object) -> dt.date | None:
    """Return the day of a text that is a midnight without a zone."""
    try:
        found = dt.datetime.fromisoformat(text.strip()) if isinstance(text, str) and len(text.strip()) > 10 else None
    except ValueError:
        return None
    return found.date() if found and found.tzinfo is None and found.time() == dt.time() else None


def _clamp(ordinal: int) -> dt.date:
    return dt.date.fromordinal(min(max(ordinal, dt.date.min.toordinal()), dt.date.max.toordinal()))


def _shown(moment: dt.datetime, zone: dt.tzinfo) -> str:
    try:
        moment = moment.astimezone(zone)
    except OverflowError:
        """At an end of the calendar UTC has to do."""
    return moment.isoformat(" ", "seconds")
