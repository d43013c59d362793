"""The pace of pulls against platforms that limit, on a clock of its own: minutes pass at once, all is repeatable."""

from __future__ import annotations

import asyncio
import math
import random
import selectors
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from airflow_provider.altcraft.client import Answer
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.client._pace import AdaptivePace

T = TypeVar("T")

GOOD = b'{"error": 0, "data": []}'


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type,misc]
    """Does not wait: the clock jumps to the moment of the next thing to do."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


def on_own_clock(main: Coroutine[Any, Any, T]) -> T:
    """Run it, with seconds that take no time."""
    selector = _Selector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


class FixedWindow:
    """So many calls from each full second to the next."""

    def __init__(self, limit: float) -> None:
        self.limit, self.window, self.count = limit, -1, 0

    def admits(self, now: float) -> bool:
        if int(now) != self.window:
            self.window, self.count = int(now), 0
        self.count += 1
        return self.count <= self.limit


class SlidingWindow:
    """So many calls in any second."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.recent: deque[float] = deque()

    def admits(self, now: float) -> bool:
        while self.recent and self.recent[0] <= now - 1:
            self.recent.popleft()
        if len(self.recent) >= self.limit:
            return False
        self.recent.append(now)
        return True


class TokenBucket:
    """So many calls a second, and a second's worth of them at once."""

    def __init__(self, limit: float) -> None:
        self.limit = self.tokens = limit
        self.at = 0.0

    def admits(self, now: float) -> bool:
        self.tokens = min(self.limit, self.tokens + (now - self.at) * self.limit)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Platform:
    """A transport that stands for a platform with a limiter, and remembers when it took and refused calls."""

    def __init__(self, limiter: Any, latency: float, retry_after: str | None) -> None:
        self.limiter, self.latency = limiter, latency
        self.headers = {} if retry_after is None else {"retry-after": retry_after}
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self.random = random.Random(7)

    async def send(self, *_: Any) -> Answer:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.latency * self.random.uniform(0.3, 0.7))
        now = loop.time()
        fits = self.limiter.admits(now)
        (self.accepted if fits else self.refused).append(now)
        await asyncio.sleep(self.latency * self.random.uniform(0.3, 0.7))
        return Answer(200, {}, GOOD) if fits else Answer(429, self.headers, b"")

    async def aclose(self) -> None:
        """Nothing is open."""


async def pull(platform: Platform, seconds: float, *, workers: int, per_second: float | None = None) -> None:
    """Workers of one client ask all the time, until so many seconds have passed."""
    loop = asyncio.get_running_loop()
    async with BulkClient(
        "https://example.com", "t0ken", list_id=1, max_connections=workers, transport=platform
    ) as client:
        client._adaptive = AdaptivePace(per_second, loop.time)

        async def work() -> None:
            while loop.time() < seconds:
                await client.get_history("ann@example.com")

        await asyncio.gather(*(work() for _ in range(workers)))


WARM, LONG = 60, 300


@pytest.mark.parametrize("retry_after", [None, "1"], ids=["", "retry-after"])
@pytest.mark.parametrize("latency", [0.02, 0.3])
@pytest.mark.parametrize("limit", [10, 50, 200])
@pytest.mark.parametrize("limiter", [FixedWindow, SlidingWindow, TokenBucket])
def test_a_limit_is_used_and_kept(limiter: Any, limit: int, latency: float, retry_after: str | None) -> None:
    """In steady state no more than 1 % of the calls are refused, and at least 90 % of the limit is used."""
    platform = Platform(limiter(limit), latency, retry_after)
    on_own_clock(pull(platform, LONG, workers=min(128, math.ceil(2 * limit * latency) + 8)))
    accepted = sum(WARM <= at < LONG for at in platform.accepted)
    refused = sum(WARM <= at < LONG for at in platform.refused)
    print(f"{accepted / (LONG - WARM) / limit:.3f} used, {refused / (accepted + refused):.4f} refused")
    assert accepted >= 0.9 * limit * (LONG - WARM)
    assert refused <= 0.01 * (accepted + refused)
