"""What a long pull says of itself while it runs."""

from __future__ import annotations

import logging
import time

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
        seconds = max((time.monotonic() if now is None else now) - self._started, 1e-6)
        rate = (self.profiles - self._before) / seconds
        to_do = self.total - self.profiles
        left = f", about {to_do / rate:.0f} s left" if rate and to_do else ""
        return (
            f"{self.profiles:,} of {self.total:,} profiles, {self.events:,} events "
            f"in {seconds:.1f} s ({rate:,.0f} profiles a second{left})"
        )
