"""What a long pull says of itself while it runs."""

from __future__ import annotations

import logging
import time

from airflow_provider.altcraft._words import counted, plural_of

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two lines."""


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
        """One more profile is done, with this many events."""
        self.profiles += 1
        self._add(events)

    def _add(self, events: int) -> None:
        self.events += events
        now = time.monotonic()
        if now - self._said >= EVERY:
            self._said = now
            log.info("%s", self.line(now))

    def resume(self, profiles: int, events: int) -> None:
        """So many were done by an earlier attempt; rate and time left are of what is done from now on."""
        self.profiles = self._before = profiles
        self.events = events

    def line(self, now: float | None = None) -> str:
        """Profiles done of all, events, rate and time left."""
        seconds = self._seconds(now)
        rate = (self.profiles - self._before) / seconds
        to_do = self.total - self.profiles
        left = f", about {to_do / rate:.0f} s left" if rate and to_do else ""
        return (
            f"{self.profiles:,} of {counted(self.total, 'profile')}, {counted(self.events, 'event')} "
            f"in {seconds:.1f} s ({_rate(rate, 'profile')}{left})"
        )

    def _seconds(self, now: float | None) -> float:
        return max((time.monotonic() if now is None else now) - self._started, 1e-6)


class WalkProgress(Progress):
    """The same of walks over pages, of which nobody knows beforehand how many there are.

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
        """So much was done by an earlier attempt; the rate is of what is done from now on."""
        self.profiles, self.pages, self.events = done, pages, events
        self._events_before = events

    def line(self, now: float | None = None) -> str:
        """Walks done of all, pages, events and rate."""
        seconds = self._seconds(now)
        rate = (self.events - self._events_before) / seconds
        return (
            f"{self.profiles:,} of {counted(self.total, 'walk')}, {counted(self.pages, 'page')}, "
            f"{counted(self.events, 'event')} in {seconds:.1f} s ({_rate(rate, 'event')})"
        )


def _rate(a_second: float, noun: str) -> str:
    rounded = round(a_second)
    return f"{rounded:,} {plural_of(rounded, noun)} a second"
