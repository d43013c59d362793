"""One pace for all workers of a task: as fast as allowed, slower on "too many requests", faster again by itself."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable

from airflow_provider.altcraft.client._constants import RETRY_AFTER_CAP
from airflow_provider.altcraft.client._retry import Pace

log = logging.getLogger(__name__)

_EPOCH = 1.0
"""Seconds that a pace is tried before it is cut again."""

_BACK_OFF = 0.95
"""What is left of the pace after a single refusal."""

_MOST_BACK_OFF = 0.3

_LEAST = 1.0
"""Calls a second below which no refusal brings the pace."""

_RECOVERY = (5.0, 18.0)
"""Seconds at least and at most until the pace is again where it was refused."""

_CALLS = 400
"""Calls that should pass between two refusals: what is refused stays far below 1 %."""

_MEMORY = 60
"""Seconds over which it is remembered what was accepted."""


class AdaptivePace:
    """Spaces calls evenly, by a pace that answers move.

    No more than ``per_second`` calls leave in any second. A call refused with 429 cuts the pace, for all, by the share
    that was refused; then it rises along a curve like that of TCP's CUBIC: soon back to just below where it was
    refused, long there, then ever faster. ``Retry-After`` holds the refused call, and all of them where none was
    accepted of late.

    Args:
        per_second: the pace at most; ``None`` for any, until a call is refused.
        clock: seconds that only go forward.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cap = per_second or math.inf
        self._pace = Pace(per_second, clock)
        self._lock = asyncio.Lock()
        self._refused_at = math.inf  # where the pace was when it was last cut
        self._cut_at = clock()
        self._calls = self._refusals = 0  # since then
        self._used, self._used_at = 0.0, self._cut_at
        self._accepted: deque[list[int]] = deque([[int(self._cut_at), 0]], _MEMORY)
        self._last_accepted = self._cut_at
        self._held_until = 0.0

    @property
    def limited(self) -> bool:
        """Whether calls are spaced at all."""
        return self.rate < math.inf

    @property
    def rate(self) -> float:
        """Calls a second that may leave now."""
        if self._refused_at == math.inf:
            return self._cap
        before = self._refused_at
        recovery = min(max(_RECOVERY[0], _CALLS / before), _RECOVERY[1])
        at = max(0.0, self._clock() - self._cut_at) / recovery - 1
        return min(self._cap, before * (1 + (1 - _BACK_OFF) * at**5))

    async def turn(self) -> float:
        """Wait for a call's turn; the moment it left, which ``accepted`` and ``refused`` want."""
        if self.limited or self._held_until:
            # One at a time, in the order in which they came.
            async with self._lock:
                self._pace.rate = self.rate
                self._pace.wait()
                # Again and again, as other answers may hold it, and a sleep may end a little too soon.
                while (pause := max(self._pace.turn, self._held_until) - self._clock()) > 0:  # noqa: ASYNC110
                    await asyncio.sleep(pause)
                self._pace.leave()
        self._calls += 1
        now = self._clock()
        # The calls of the last second or so, older ones weighing less and less.
        self._used = self._used * math.exp(self._used_at - now) + 1
        self._used_at = now
        return now

    def accepted(self) -> None:
        """A call was not refused."""
        self._last_accepted = now = self._clock()
        if self._accepted[-1][0] == int(now):
            self._accepted[-1][1] += 1
        else:
            self._accepted.append([int(now), 1])

    def refused(self, left_at: float, retry_after: float | None) -> bool:
        """A call that left then was refused with 429; whether it should wait for another turn."""
        now = self._clock()
        if (retry_after or 0.0) > RETRY_AFTER_CAP or now - self._last_accepted > RETRY_AFTER_CAP:
            return False
        # Others go on while calls are accepted; where none is, the platform has shut and all wait.
        if now - self._last_accepted > max(_EPOCH, 3 / self.rate):
            self._held_until = max(self._held_until, now + (retry_after or 0.0))
        if left_at >= self._cut_at:  # a refusal of the pace before says nothing of this one
            self._refusals += 1
            if now - self._cut_at >= _EPOCH or self._refused_at == math.inf:
                self._cut(now)
        return True

    def _cut(self, now: float) -> None:
        # Not a pace that was allowed and never used.
        before = min(self.rate, 1.2 * self._used)
        share = self._refusals / max(self._calls, 1)
        left = max(_MOST_BACK_OFF, 1 - share)
        # What was accepted of late bounds the cut: a window of a minute that is used up refuses everything.
        of_late = sum(count for second, count in self._accepted if second > now - _MEMORY) / _MEMORY
        self._refused_at = max(before * left, of_late / 2, _LEAST)
        self._cut_at = now
        self._calls = self._refusals = 0
        log.info("Too many requests: slowing down to %.3g a second", self.rate)
