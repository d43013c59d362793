"""The progress of a pull that runs: lines in the log, and a small record that the page shows."""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import Final, Literal, TypedDict

from airflow_provider.altcraft._words import counted, plural_of

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two lines, and between two records."""

PULL_KEY: Final = "altcraft_pull"
"""Key of the XCom under which a pull that takes longer than ``EVERY`` keeps its ``PullProgress``.

An XCom, as for the record of a wait (``waiting.progress.WAIT_KEY``): Airflow 2.11 has it too.
"""


class PullProgress(TypedDict):
    """The progress of a pull. Plain JSON; it holds counts and nothing of a profile."""

    unit: Literal["profile", "walk"]
    """The unit of ``done`` and ``total``: profiles, or walks over the pages of a database."""

    done: int
    """Profiles that are answered, or walks that are done, those of an earlier attempt included."""

    total: int
    """Profiles or walks in all."""

    pages: int | None
    """Pages of the walks; ``None`` for profiles."""

    events: int
    """Events that have come, those of an earlier attempt included."""

    seconds: float
    """The duration of this attempt so far."""

    seconds_left: float | None
    """An estimate of the time left; ``None`` where it is unknown, as of walks."""

    recorded_at: str
    """The time of this record, UTC, ISO 8601."""


class Progress:
    """Counts what is done and logs a line now and then.

    Args:
        total: profiles to do.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.profiles = 0
        self.events = 0
        self._before = 0
        self._started = self._said = time.monotonic()

    def done(self, events: int) -> None:
        """One more profile is answered, with this many events."""
        self.profiles += 1
        self._add(events)

    def _add(self, events: int) -> None:
        self.events += events
        now = time.monotonic()
        if now - self._said >= EVERY:
            self._said = now
            log.info("%s", self.line(now))

    def resume(self, profiles: int, events: int) -> None:
        """Begin with the counts of an earlier attempt; rate and time left count what follows."""
        self.profiles = self._before = profiles
        self.events = events

    def line(self, now: float | None = None) -> str:
        """Return the profiles done of all, events, rate and time left."""
        seconds = self._seconds(now)
        seconds_left = self._seconds_left(seconds)
        left = f", about {seconds_left:.0f} s left" if seconds_left else ""
        return (
            f"{self.profiles:,} of {counted(self.total, 'profile')}, {counted(self.events, 'event')} "
            f"in {seconds:.1f} s ({_rate(self._rate(seconds), 'profile')}{left})"
        )

    def record(self) -> PullProgress:
        """Return the same as a record."""
        seconds = self._seconds(None)
        seconds_left = self._seconds_left(seconds)
        return {
            "unit": "profile",
            "done": self.profiles,
            "total": self.total,
            "pages": None,
            "events": self.events,
            "seconds": round(seconds, 1),
            "seconds_left": None if seconds_left is None else round(seconds_left, 1),
            "recorded_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }

    def _rate(self, seconds: float) -> float:
        """Return the profiles a second, of this attempt."""
        return (self.profiles - self._before) / seconds

    def _seconds_left(self, seconds: float) -> float | None:
        rate = self._rate(seconds)
        return (self.total - self.profiles) / rate if rate else None

    def _seconds(self, now: float | None) -> float:
        return max((time.monotonic() if now is None else now) - self._started, 1e-6)


class WalkProgress(Progress):
    """The progress of walks over pages, whose number is unknown.

    Args:
        total: walks to do.
    """

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.pages = 0
        self._events_before = 0

    def page(self, events: int, *, ended: bool) -> None:
        """One more page is done, and perhaps its walk."""
        self.pages += 1
        self.profiles += ended
        self._add(events)

    def resume_walks(self, *, done: int, pages: int, events: int) -> None:
        """Begin with the counts of an earlier attempt; the rate counts what follows."""
        self.profiles, self.pages, self.events = done, pages, events
        self._events_before = events

    def record(self) -> PullProgress:
        """Return the same as a record, without an estimate of the time left."""
        return {**super().record(), "unit": "walk", "pages": self.pages, "seconds_left": None}

    def line(self, now: float | None = None) -> str:
        """Return the walks done of all, pages, events and rate."""
        seconds = self._seconds(now)
        rate = (self.events - self._events_before) / seconds
        return (
            f"{self.profiles:,} of {counted(self.total, 'walk')}, {counted(self.pages, 'page')}, "
            f"{counted(self.events, 'event')} in {seconds:.1f} s ({_rate(rate, 'event')})"
        )


def _rate(a_second: float, noun: str) -> str:
    rounded = round(a_second)
    return f"{rounded:,} {plural_of(rounded, noun)} a second"
