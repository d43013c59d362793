"""The adaptive pace of all calls of a client: slower where calls are refused, then faster again by itself.

It also detects outages: while nothing is answered, a call leaves only now and then.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from airflow_provider.altcraft.client._constants import OUTAGE_PAUSES, RETRY_AFTER_CAP
from airflow_provider.altcraft.client._errors import FatalError, RateLimitError, RetriableError
from airflow_provider.altcraft.client._retry import Pace, hiccup_of, is_page, is_refusal

log = logging.getLogger(__name__)

_EPOCH = 1.0
"""Seconds between two cuts of the pace, at least, and without a response until an outage is assumed."""

_BACK_OFF = 0.95
"""The factor by which a single refusal cuts the pace."""

_MOST_BACK_OFF = (0.3, 0.7)
"""The lowest factor of a cut; the second one for a while after a search: the limit is near then, and limiters without
a burst refuse half of the calls at a pace just above it."""

_LARGE_CUT = 0.8
"""A cut by this factor or a lower one is followed by a search: it tells little of the limit, as limiters without a
burst refuse half of the calls at a pace just above it. The first search ends with such a cut."""

_SEARCHES = 30.0
"""Seconds after the first refusal in which the limit is searched; later the pace is near it."""

_FIRST_GROWTH, _GROWTH = 2.0, 1.08
"""The factors by which the pace grows each second: in the first search, and in one that follows a cut."""

_EVEN = 100.0
"""Calls a second up to which a pace that was refused keeps its gaps: a late call does not hurry the next one, which
limiters without a burst would refuse. Above, the sleeps of an event loop are too coarse for that."""

_LEAST = 1.0
"""Calls a second below which no refusal cuts the pace."""

_RECOVERY = (5.0, 18.0)
"""Seconds at least and at most until the pace is again where it was refused."""

_CALLS = 400
"""Calls that should pass between two refusals, so that far less than 1 % are refused."""

_FEW = 4
"""Calls from which on a failure between answers counts as a refusal."""

_MEMORY = 60
"""Seconds for which accepted calls are remembered."""


class AdaptivePace:
    """Spaces calls evenly, at a pace that depends on the answers.

    No more than ``per_second`` calls leave in any second. A refused call cuts the pace, for all, by the share that was
    refused; then it rises along a curve like that of TCP's CUBIC: soon back to just below where it was refused, long
    there, then ever faster. Where the first calls are refused, so that they tell nothing of the limit, it doubles each
    second until the next refusal. After a large cut in the first half minute it is searched, too, more slowly.

    A 429 is a refusal. A 502, 503, 504 or a broken connection is one where calls that leave after it are answered, else
    it is the beginning of an outage, which leaves the pace as it was.

    Args:
        per_second: the pace at most; ``None`` for any, until a call is refused.
        clock: seconds that only go forward.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.answered_at = clock()
        """When a call was last answered."""
        self.api_answered = False
        """Whether the API has answered a call, not a proxy or another server."""
        self.reports = True
        self._cap = per_second or math.inf
        self._pace = Pace(per_second, clock)
        self._lock = asyncio.Lock()
        self._refused_at = math.inf  # where the pace was when it was last cut
        self._cut_at = self.answered_at
        self._slowed_at = -math.inf
        self._growth = 1.0  # by which the pace is multiplied each second, while it is searched
        self._found_at = -math.inf
        self._calls = self._refusals = 0  # since then
        self._suspects, self._suspect_since = 0, 0.0  # failures that may turn out to be refusals
        self._used, self._used_at = 0.0, self._cut_at
        self._accepted: deque[list[int]] = deque([[int(self._cut_at), 0]], _MEMORY)
        self._held_until = 0.0
        self._failing_since: float | None = None  # the first failure since the last response
        self._away = 0.0  # seconds of the outages before
        self._reported = False
        self._back = asyncio.Event()
        self._probing = asyncio.Lock()
        self._probed_at = 0.0

    @property
    def limited(self) -> bool:
        """Whether calls are spaced."""
        return self.rate < math.inf

    @property
    def slowed(self) -> bool:
        """Whether the client makes fewer calls since some were refused."""
        return self._refused_at < math.inf

    @property
    def seconds_away(self) -> float:
        """Seconds of all outages so far: times in which calls were made and none was answered."""
        now = self.clock()
        if self._failing_since is None or not self._is_away(now):
            return self._away
        return self._away + now - self._failing_since

    @property
    def rate(self) -> float:
        """Calls a second that may leave now."""
        if not self.slowed:
            return self._cap
        before = self._refused_at
        seconds = max(0.0, self.clock() - self._cut_at)
        if self._growth > 1:
            return min(self._cap, before * math.pow(self._growth, min(seconds, _MEMORY)))
        recovery = min(max(_RECOVERY[0], _CALLS / before), _RECOVERY[1])
        return min(self._cap, before * (1 + (1 - _BACK_OFF) * (seconds / recovery - 1) ** 5))

    async def turn(self, *, many: bool = False) -> float:
        """Wait for a call's turn, and return the moment it leaves, for ``answered`` and ``failed``.

        Args:
            many: the call is one of many that outlast an outage; during one they take turns.
        """
        if many and self._failing_since is not None:
            async with self._probing:
                while (pause := self._probe_at() - self.clock()) > 0:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._back.wait()
                self._probed_at = self.clock()
        if self.limited or self._held_until:
            # One at a time, in the order in which they came.
            async with self._lock:
                self._pace.rate = self.rate
                self._pace.catches_up = not self.slowed or self.rate > _EVEN
                self._pace.wait()
                # Again and again, as other answers may hold it, and a sleep may end a little too soon.
                while (pause := max(self._pace.turn, self._held_until) - self.clock()) > 0:  # noqa: ASYNC110
                    await asyncio.sleep(pause)
                self._pace.leave()
        self._calls += 1
        now = self.clock()
        # The calls of the last second or so, older ones weighing less and less.
        self._used = self._used * math.exp(self._used_at - now) + 1
        self._used_at = now
        return now

    @contextmanager
    def judged(self, left_at: float) -> Iterator[None]:
        """Note the outcome of a call that left at this moment; wrap its request and reading in this."""
        try:
            yield
        except RetriableError as error:
            self.failed(left_at, error)
            raise
        except FatalError as error:
            if is_page(error) and self.api_answered:
                hiccup = hiccup_of(error)
                self.failed(left_at, hiccup)
                raise hiccup from None
            if error.http_status is not None and not is_page(error):
                self.answered(left_at)
            raise
        self.answered(left_at)

    def answered(self, left_at: float) -> None:
        """Note that a call was answered, if only by an error of the platform."""
        now = self.clock()
        if self._failing_since is not None:
            if self._reported:
                log.info("The platform answers again, after %.1f s", now - self._failing_since)
            if self._is_away(now):
                self._suspects = 0
            self._away = self.seconds_away
            self._failing_since, self._reported = None, False
            self._back.set()
        self.answered_at, self.api_answered = now, True
        if self._accepted[-1][0] == int(now):
            self._accepted[-1][1] += 1
        else:
            self._accepted.append([int(now), 1])
        if self._suspects and left_at >= self._suspect_since:
            suspects, self._suspects = self._suspects, 0
            if self._calls >= _FEW:
                self._refusals += suspects
                self._cut(now)

    def failed(self, left_at: float, error: RetriableError) -> None:
        """Note that a call failed in a way that may pass."""
        now = self.clock()
        if self._failing_since is None:
            self._failing_since = now
            self._back.clear()
        if self._is_away(now):
            if not self._reported:
                self._reported = True
                log.warning("The platform does not answer any more; a call is tried now and then: %s", error)
            # Others go on while calls are answered; where none is, all wait as long as one was asked to.
            if error.retry_after is not None and error.retry_after <= RETRY_AFTER_CAP:
                self._held_until = max(self._held_until, now + error.retry_after)
            self._suspects = 0
        elif is_refusal(error) and left_at >= self._cut_at:  # a refusal of the pace before says nothing of this one
            if isinstance(error, RateLimitError):
                self._refusals += 1
                self._cut(now)
            else:
                self._suspect_since = self._suspect_since if self._suspects else now
                self._suspects += 1

    def _is_away(self, now: float) -> bool:
        return self._failing_since is not None and now - self._failing_since > max(_EPOCH, 3 / self.rate)

    def _probe_at(self) -> float:
        """Return when the next of many calls may leave in an outage: the longer it lasts, the later."""
        now = self.clock()
        if self._failing_since is None or not self._is_away(now):
            return 0.0
        least, most = OUTAGE_PAUSES
        return self._probed_at + min(most, max(least, (now - self._failing_since) / 4))

    def _cut(self, now: float) -> None:
        if now - self._cut_at < _EPOCH and self.slowed:
            return
        first = not self.slowed
        if first:
            self._slowed_at = now
            log.warning(
                "The platform refuses some calls, so fewer are made; "
                "requests_per_second of the connection would keep the pace below the limit from the start"
            )
        # The pace that was really used: where it doubles each second, the last second used 0.6 of it.
        before = min(self.rate, (1.7 if self._growth == _FIRST_GROWTH else 1.2) * self._used)
        # Without the refusal that causes the cut, which would be a large share of few calls.
        share = max(self._refusals - 1, 1) / max(self._calls, 1)
        if self._growth == _FIRST_GROWTH:
            self._found_at = now
        left = max(_MOST_BACK_OFF[now - self._found_at < _RECOVERY[0]], 1 - share)
        if self._growth == _FIRST_GROWTH:
            left = min(left, _LARGE_CUT)
        # No lower than half of what was accepted lately: a limit by the minute, once used up, refuses everything.
        of_late = sum(count for second, count in self._accepted if second > now - _MEMORY)
        self._refused_at = max(before * left, of_late / _MEMORY / 2, _LEAST)
        # Refusals right at the start, or of most calls, tell nothing of the limit.
        if first and (now - self._cut_at < _EPOCH / 2 or 2 * of_late < self._calls):
            self._growth = _FIRST_GROWTH
        else:
            self._growth = _GROWTH if left <= _LARGE_CUT and now - self._slowed_at < _SEARCHES else 1.0
        self._cut_at = now
        self._calls = self._refusals = 0
        log.debug("Slowing down to %.3g calls a second", self.rate)
