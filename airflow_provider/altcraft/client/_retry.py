"""Retries of a call, and the even pace at which calls leave."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from tenacity import RetryCallState, retry_if_exception, wait_exponential, wait_random_exponential

from airflow_provider.altcraft.client._constants import (
    ATTEMPTS,
    BACKOFF_INITIAL,
    BACKOFF_MAX,
    LATENESS,
    OUTAGE_PAUSES,
    RETRY_AFTER_CAP,
)
from airflow_provider.altcraft.client._errors import (
    BadRequestError,
    FatalError,
    NetworkError,
    RateLimitError,
    RetriableError,
    UnreadableAnswerError,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """The policy of retries after retriable errors. The calls only read, so a repeat does no harm.

    Attributes:
        attempts: tries in all, the first included.
        wait_initial: seconds that the first pause may take; they double each time. Each is drawn at random between the
            half and the whole.
        wait_max: seconds that no pause exceeds, unless the server asks for a longer one (``Retry-After``).

    Raises:
        ValueError: a number that cannot work.
    """

    attempts: int = ATTEMPTS
    wait_initial: float = BACKOFF_INITIAL
    wait_max: float = BACKOFF_MAX

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts: expected 1 or more, got {self.attempts}")
        if self.wait_initial < 0 or self.wait_max < 0:
            raise ValueError(
                f"wait_initial, wait_max: expected seconds from 0 on, got {self.wait_initial!r} and {self.wait_max!r}"
            )

    def options(self, pace: PlatformHealth, outage_timeout: float, *, many: bool = False) -> dict[str, Any]:
        """Return the arguments of tenacity's ``Retrying`` and ``AsyncRetrying`` for one call.

        Args:
            pace: knows when a call of the same client was last answered.
            outage_timeout: see ``ClientSettings``.
            many: the call is one of many that make up one piece of work, which outlasts an outage.
        """
        longest = OUTAGE_PAUSES[1] if many else self.wait_max
        half = {"multiplier": self.wait_initial / 2, "max": min(longest, self.wait_max) / 2}
        backoff = wait_exponential(**half) + wait_random_exponential(**half)

        def wait(state: RetryCallState) -> float:
            # Never sooner than asked; "at once" still does not hurry a server that just failed.
            error = _error_of(state)
            asked: float | None = getattr(error, "retry_after", None)
            pause = backoff(state)
            # A slowed client spaces its calls already; long pauses as well would keep it below that pace.
            if many and pace.slowed and is_refusal(error):
                pause /= 4
            return max(asked or 0.0, pause)

        return {
            "stop": _Budget(self.attempts, pace, outage_timeout, many),
            "retry": retry_if_exception(_is_retriable),
            "wait": wait,
            "before_sleep": partial(self._log_try_of_many, pace) if many else self._log_try,
            "reraise": True,
        }

    def _log_try(self, state: RetryCallState) -> None:
        log.warning(
            "Try %d of %d failed, the next one in %.1f s: %s",
            state.attempt_number,
            self.attempts,
            state.upcoming_sleep,
            _error_of(state),
        )

    @staticmethod
    def _log_try_of_many(pace: PlatformHealth, state: RetryCallState) -> None:
        error = _error_of(state)
        level = logging.DEBUG if pace.reports and is_refusal(error) else logging.WARNING
        log.log(level, "Try %d failed, the next one in %.1f s: %s", state.attempt_number, state.upcoming_sleep, error)


class PlatformHealth(Protocol):
    """The client's view of the platform: when it last answered, and whether refusals have slowed the client."""

    clock: Callable[[], float]
    answered_at: float
    reports: bool
    """Whether this object logs refusals and outages itself, once for many calls."""

    @property
    def slowed(self) -> bool:
        """Whether the client makes fewer calls since some were refused."""
        ...

    @property
    def seconds_away(self) -> float:
        """Seconds of all outages so far: times in which calls were made and none was answered."""
        ...


class _Budget:
    """Decides when a call is given up, depending on the client's other calls: tenacity's ``stop``.

    A single call has ``attempts`` tries, without those that fail while other calls are answered. One of many calls is
    given up where nothing was answered for ``outage_timeout``, or where it has failed for as long, and at least
    ``attempts`` times, while others were answered.
    """

    def __init__(self, attempts: int, pace: PlatformHealth, outage_timeout: float, many: bool) -> None:
        self._attempts = attempts
        self._pace = pace
        self._outage_timeout = outage_timeout
        self._many = many
        self._began = self._failed_at = 0.0
        self._counted = 0
        self._away = 0.0  # how long the platform had been away when it first failed

    def __call__(self, state: RetryCallState) -> bool:
        now = self._pace.clock()
        first = state.attempt_number == 1
        if first:
            self._began, self._away = now, self._pace.seconds_away
        if first or self._pace.answered_at <= self._failed_at:
            self._counted += 1
        self._failed_at = now
        often = state.attempt_number >= self._attempts
        if not self._many:
            return self._counted >= self._attempts or (often and now - self._began >= self._outage_timeout)
        if not self._outage_timeout:
            return often and self._give_up(state, outage=self._pace.answered_at < self._began)
        # Since the last response, which may have come a moment after this call first failed.
        if now - max(self._began, self._pace.answered_at) >= self._outage_timeout:
            return self._give_up(state, outage=True)
        alone = now - self._began - (self._pace.seconds_away - self._away)
        return often and alone >= self._outage_timeout and self._give_up(state, outage=False)

    def _give_up(self, state: RetryCallState, *, outage: bool) -> bool:
        error = _error_of(state)
        if isinstance(error, RetriableError):
            error.outage = outage
            if self._outage_timeout:
                what = "no call was answered" if outage else "this call failed while others were answered"
                text = f"{what} for outage_timeout={self._outage_timeout:g} s, so it is given up"
                error.args = (f"{error.args[0]}; {text}",)
        return True


def is_refusal(error: BaseException | None) -> bool:
    """Return whether the platform, or a proxy before it, may have refused the call as one too many."""
    status = getattr(error, "http_status", None)
    code = getattr(error, "code", None)
    return isinstance(error, RateLimitError | NetworkError) or bool({status, code} & {502, 503, 504})


def is_page(error: FatalError) -> bool:
    """Return whether the answer was not the API's: a page of a proxy, or of another server at a wrong address."""
    return type(error) is BadRequestError and error.code is None and error.http_status is not None


def hiccup_of(page: FatalError) -> RetriableError:
    """Return the error of such a page where the API answered before: a temporary fault of a proxy before it."""
    return UnreadableAnswerError(f"{page.args[0]}, though the API answered before", http_status=page.http_status)


def _is_retriable(error: BaseException) -> bool:
    return isinstance(error, RetriableError) and (error.retry_after or 0.0) <= RETRY_AFTER_CAP


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


class Pace:
    """Spaces calls evenly, with no more than ``per_second`` of them in any second; ``None`` means any number.

    A caller holds a lock from ``wait`` until ``leave``. A caller that gives up between the two leaves its turn to the
    next one.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float] | None = None) -> None:
        self.clock = clock or time.monotonic
        self.answered_at = -math.inf
        """When a call was last answered."""
        self.api_answered = False
        """Whether the API has answered a call, not a proxy or another server."""
        self.reports = False
        self.slowed = False
        """Refused calls do not change this pace."""
        self.seconds_away = 0.0
        """Outages are not measured."""
        self.rate = per_second or math.inf
        self.turn = 0.0
        """When the waiting call may leave."""
        self.catches_up = True
        """Whether a call that left late lets the next one leave so much sooner."""
        self._late = 0.0
        # Turns alone do not keep the pace in every second: a call may leave late, and the next ones in time.
        self._left: deque[float] = deque()

    def wait(self) -> float:
        """Return the seconds until the next call may leave."""
        now = self.clock()
        self.turn = max(now - self._late, self.turn)
        while self._left and self._left[0] + 1 <= now:
            self._left.popleft()
        if len(self._left) >= self.rate:
            self.turn = max(self.turn, self._left[-math.ceil(self.rate)] + 1)
        return max(0.0, self.turn - now)

    def leave(self) -> None:
        """Note that the call leaves: the next turn comes a gap after this call's turn."""
        if self.rate < math.inf:
            now = self.clock()
            # A sleep that ends late on a busy machine is caught up, else each would slow the pace.
            self._late = min(max(0.0, now - self.turn), LATENESS) if self.catches_up else 0.0
            self.turn = (self.turn if self.catches_up else now) + 1 / self.rate
            self._left.append(now)

    def answered(self) -> None:
        self.answered_at = self.clock()
        self.api_answered = True

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Note whether the platform answered; wrap the reading of an answer in this."""
        try:
            yield
        except FatalError as error:
            if not is_page(error):
                self.answered()
            elif self.api_answered:
                raise hiccup_of(error) from None
            raise
        self.answered()
