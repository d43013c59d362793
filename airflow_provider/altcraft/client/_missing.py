"""Counts the lookups for which the platform says that it has no profile, and warns of them."""

from __future__ import annotations

import logging
import threading

log = logging.getLogger(__name__)


class MissingProfiles:
    """Counts histories that are empty because the platform has no such profile. May be used from any thread."""

    def __init__(self) -> None:
        self.count = 0
        self._reported = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        """Count one. The first is logged, and each tenth, hundredth and so on: a client may live for weeks."""
        with self._lock:
            self.count += 1
            if str(self.count).strip("0") == "1":
                self._report()

    def close(self) -> None:
        """Log the total, unless it was logged already."""
        with self._lock:
            if self.count > self._reported:
                self._report()

    def _report(self) -> None:
        self._reported = self.count
        log.warning(
            "The platform answered %d time%s that it has no such profile; each such history is taken to be empty "
            "(on_missing_profile='empty')",
            self.count,
            "" if self.count == 1 else "s",
        )
