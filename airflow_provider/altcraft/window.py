"""The window of a pull: which instants belong to it, and which days the platform is asked for.

A date means the whole UTC day and both ends are inclusive; a date-time is an instant and the end is exclusive. So
``{{ ds }}`` given twice is one day, and Airflow's data interval is exactly itself.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TypeAlias

UTC = dt.UTC
DAY = dt.timedelta(days=1)

DateLike: TypeAlias = "dt.date | dt.datetime | str | None"


def utc(value: dt.datetime) -> dt.datetime:
    """The same instant in UTC; one without a zone is taken to be UTC, as everything in Airflow is.

    Raises:
        ValueError: in UTC it lies outside the years 1 to 9999.
    """
    try:
        return value.replace(tzinfo=UTC) if value.utcoffset() is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC it lies outside the years 1 to 9999") from None


def parse_date(value: DateLike, name: str) -> dt.date | dt.datetime | None:
    """A date or an aware date-time (UTC) out of what a user or a template gives.

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
    if isinstance(value, dt.datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{name}: {value.isoformat()!r} has no time zone; write it with one, as in '…+00:00'")
        try:
            return utc(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if isinstance(value, dt.date):
        return value
    raise ValueError(f"{name}: a date, a date-time or a string is wanted, not {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class Window:
    """Instants from ``start`` (inclusive) to ``end`` (exclusive), UTC; ``None`` leaves that side open."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None

    @classmethod
    def of(cls, date_from: DateLike = None, date_to: DateLike = None) -> Window:
        """The window between two dates or date-times.

        Raises:
            ValueError: an end that is no date, has no zone, or a window that ends before it starts.
        """
        first, last = parse_date(date_from, "date_from"), parse_date(date_to, "date_to")
        start = first if first is None or isinstance(first, dt.datetime) else _midnight(first)
        end: dt.datetime | None
        if isinstance(last, dt.datetime):
            end = last
        else:  # the calendar's last day is as good as no end
            end = None if last is None or last == dt.date.max else _midnight(last) + DAY
        # A date to the day before ends just where the window starts; two equal instants are an empty interval.
        backwards = type(first) is type(last) is dt.date and last < first
        if start is not None and end is not None and (end < start or backwards):
            raise ValueError(f"date_to ({date_to}) is before date_from ({date_from})")
        return cls(start, end)

    def __contains__(self, instant: dt.datetime) -> bool:
        """Whether the instant lies within."""
        return (self.start is None or instant >= self.start) and (self.end is None or instant < self.end)

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
        """Each UTC day that the window touches, in order; empty for an empty window.

        Raises:
            ValueError: a window without both ends has no list of days.
        """
        if self.start is None or self.end is None:
            raise ValueError("the days of a window can be listed only where date_from and date_to are both given")
        if self.start == self.end:
            return []
        first, last = self.start.date().toordinal(), self._last(self.end).toordinal()
        return [dt.date.fromordinal(day) for day in range(first, last + 1)]

    def to_json(self) -> dict[str, str | None]:
        """Both ends in ISO 8601, UTC, for results and events."""
        return {
            "start": None if self.start is None else self.start.isoformat(),
            "end": None if self.end is None else self.end.isoformat(),
        }

    def _last(self, end: dt.datetime) -> dt.date:
        """The last day with an instant of the window in it; an empty window still names a day to ask for."""
        return end.date() if end == self.start else (end - dt.timedelta(microseconds=1)).date()


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=UTC)


def _clamp(ordinal: int) -> dt.date:
    return dt.date.fromordinal(min(max(ordinal, dt.date.min.toordinal()), dt.date.max.toordinal()))
