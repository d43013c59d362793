"""When a call is tried again, and the pace at which calls leave."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from airflow_provider.altcraft.client._constants import (
    ATTEMPTS,
    BACKOFF_INITIAL,
    BACKOFF_MAX,
    RETRY_AFTER_CAP,
)
from airflow_provider.altcraft.client._errors import RetriableError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """How retriable errors are retried. The calls only read, so a repeat does no harm.

    Attributes:
        attempts: tries in all, the first included.
        initial: seconds of the first pause at most; it doubles each time. Pauses are drawn at random below that.
        maximum: seconds of the longest pause.
    """

    attempts: int = ATTEMPTS
    initial: float = BACKOFF_INITIAL
    maximum: float = BACKOFF_MAX

    def options(self) -> dict[str, Any]:
        """What tenacity's ``Retrying`` and ``AsyncRetrying`` take."""
        backoff = wait_random_exponential(multiplier=self.initial, max=self.maximum)

        def wait(state: RetryCallState) -> float:
            asked = getattr(_error_of(state), "retry_after", None)
            return backoff(state) if asked is None else asked

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
    """Spaces calls evenly, so that no more than ``per_second`` of them leave in a second; ``None`` means any number."""

    def __init__(self, per_second: float | None) -> None:
        self._gap = 1.0 / per_second if per_second else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take the next free moment and return the seconds until then."""
        if not self._gap:
            return 0.0
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + self._gap
        return at - now
