"""When a call is tried again, and the pace at which calls leave."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from airflow_provider.altcraft.client._constants import (
    ATTEMPTS,
    BACKOFF_INITIAL,
    BACKOFF_MAX,
    LATENESS,
    RETRY_AFTER_CAP,
)
from airflow_provider.altcraft.client._errors import RetriableError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """How retriable errors are retried. The calls only read, so a repeat does no harm.

    Attributes:
        attempts: tries in all, the first included.
        initial: seconds that the first pause may take; they double each time. A pause is drawn at random below them.
        maximum: seconds that no pause exceeds, unless the server asks for a longer one (``Retry-After``).

    Raises:
        ValueError: a number that cannot work.
    """

    attempts: int = ATTEMPTS
    initial: float = BACKOFF_INITIAL
    maximum: float = BACKOFF_MAX

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts: 1 or more is wanted, not {self.attempts}")
        if self.initial < 0 or self.maximum < 0:
            raise ValueError("initial, maximum: seconds from 0 on are wanted")

    def options(self) -> dict[str, Any]:
        """What tenacity's ``Retrying`` and ``AsyncRetrying`` take."""
        backoff = wait_random_exponential(multiplier=self.initial, max=self.maximum)

        def wait(state: RetryCallState) -> float:
            # Never sooner than asked; "at once" still does not hurry a server that just failed.
            asked: float | None = getattr(_error_of(state), "retry_after", None)
            return max(asked or 0.0, backoff(state))

        return {
            "stop": stop_after_attempt(self.attempts),
            "retry": retry_if_exception(_is_retriable),
            "wait": wait,
            "before_sleep": self._say,
            "reraise": True,
        }

    def _say(self, state: RetryCallState) -> None:
        log.warning(
            "Try %d of %d failed, the next one in %.1f s: %s",
            state.attempt_number,
            self.attempts,
            state.upcoming_sleep,
            _error_of(state),
        )


def _is_retriable(error: BaseException) -> bool:
    return isinstance(error, RetriableError) and (error.retry_after or 0.0) <= RETRY_AFTER_CAP


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


class Pace:
    """Spaces calls evenly, so that no more than ``per_second`` of them leave in any second; ``None`` means any number.

    Not for several at once: a caller holds a lock from ``wait`` until ``leave``. One that gives up between the two
    leaves its turn to the next.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.monotonic
        self.rate = per_second or math.inf
        self.turn = 0.0
        """When the call that waits may leave."""
        self._late = 0.0
        # Turns alone do not keep a pace exactly: a call may leave late, and those after it in time.
        self._left: deque[float] = deque()

    def wait(self) -> float:
        """Seconds until the next call may leave."""
        now = self._clock()
        self.turn = max(now - self._late, self.turn)
        while self._left and self._left[0] + 1 <= now:
            self._left.popleft()
        if len(self._left) >= self.rate:
            self.turn = max(self.turn, self._left[-math.ceil(self.rate)] + 1)
        return max(0.0, self.turn - now)

    def leave(self) -> None:
        """The call leaves: the next one's turn comes a gap later, counted from when this one's was."""
        if self.rate < math.inf:
            now = self._clock()
            # A sleep that ends late on a crowded machine is caught up, or each would slow the pace.
            self._late = min(max(0.0, now - self.turn), LATENESS)
            self.turn += 1 / self.rate
            self._left.append(now)
