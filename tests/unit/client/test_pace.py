"""The pace of pulls against platforms that limit, on a clock of its own: minutes pass at once, all is repeatable."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import selectors
from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from airflow_provider.altcraft.client import RateLimitError, Response, Retry
from airflow_provider.altcraft.client import _constants as constants
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.client._core import Call
from airflow_provider.altcraft.client._pace import AdaptivePace
from airflow_provider.altcraft.window import Window

T = TypeVar("T")

GOOD, REFUSED = Response(200, {}, b""), Response(429, {}, b"")


@pytest.fixture(autouse=True)
def repeatable() -> None:
    """The pauses between tries are drawn at random, too."""
    random.seed(7)


class _Selector(selectors.SelectSelector):
    """Does not wait, and looks at no file: the clock jumps to the moment of the next thing to do."""

    now = 0.0
    stalls: Iterator[float] = itertools.repeat(1e-9)
    """What each turn of the loop takes."""

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += (timeout or 0.0) + next(self.stalls)
        return []


def on_own_clock(main: Coroutine[Any, Any, T], stalls: Iterator[float] | None = None) -> T:
    """Run it, with seconds that take no time."""
    selector = _Selector()
    selector.stalls = stalls or selector.stalls
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


class LimitReq:
    """nginx's ``limit_req``: a leaky bucket, counted by milliseconds."""

    def __init__(self, limit: int, burst: int = 0, *, nodelay: bool = True) -> None:
        self.limit, self.burst, self.nodelay = limit, burst, nodelay
        self.excess, self.last = 0, 0

    def delay(self, now: float) -> float | None:
        """How long nginx holds the call back; ``None`` where it refuses it."""
        at = int(now * 1000)
        excess = max(0, self.excess - self.limit * (at - self.last) + 1000) if self.last else 0
        if excess > 1000 * self.burst:
            return None
        self.excess, self.last = excess, at
        return 0.0 if self.nodelay else excess / 1000 / self.limit


class Platform:
    """A transport that stands for a platform with a limiter, and remembers when it took and refused calls."""

    def __init__(self, limiter: Any, latency: float, retry_after: float | None = None) -> None:
        self.limiter, self.latency, self.retry_after = limiter, latency, retry_after
        self.asked: list[float] = []
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self.random = random.Random(7)

    def way(self) -> float:
        """Half the latency, give or take a fifth.

        With two fifths, a sliding window of 10 a second and 0.3 s admit no even pace that uses 90 %: at 9.05 a second
        0.7 % are refused, which leaves 89.9 %, at 9.1 1.3 %, and so on.
        """
        return self.latency * self.random.uniform(0.4, 0.6)

    async def send(self, *_: Any) -> Response:
        loop = asyncio.get_running_loop()
        self.asked.append(loop.time())
        await asyncio.sleep(self.way())
        now = loop.time()
        fits = self.limiter.admits(now)
        (self.accepted if fits else self.refused).append(now)
        await asyncio.sleep(self.way())
        return GOOD if fits else REFUSED

    def read(self, call: Call, answer: Response) -> None:
        """What a client makes of an answer: as little as it can, so that minutes of calls cost a test seconds."""
        if answer is REFUSED:
            error = RateLimitError("Too many requests")
            error.retry_after = self.retry_after
            raise error

    async def aclose(self) -> None:
        """Nothing is open."""

    def seen(self, since: float, until: float) -> tuple[float, float]:
        """Calls taken a second, and the share of calls that was refused."""
        accepted = sum(since <= at < until for at in self.accepted)
        refused = sum(since <= at < until for at in self.refused)
        print(f"{since:g} to {until:g} s: {accepted / (until - since):.1f} a second, {refused} refused")
        return accepted / (until - since), refused / (accepted + refused)


async def pull(platform: Platform, seconds: float, *, workers: int, per_second: float | None = None) -> None:
    """Workers of one client ask all the time, until so many seconds have passed."""
    loop = asyncio.get_running_loop()
    async with BulkClient(
        "https://example.com", "t0ken", list_id=1, max_connections=workers, transport=platform
    ) as client:
        client._pace = AdaptivePace(per_second, loop.time)
        call = client.core.history_by({"xxh": "1"}, 1, Window.of())

        async def work() -> None:
            while loop.time() < seconds:
                await client.ask(call, platform.read)

        await asyncio.gather(*(work() for _ in range(workers)))


def enough(limit: float, latency: float) -> int:
    """Workers that could ask twice as fast as is allowed."""
    return min(128, math.ceil(2 * limit * latency) + 8)


@pytest.mark.parametrize("retry_after", [None, 1.0], ids=["", "retry-after"])
@pytest.mark.parametrize("latency", [0.02, 0.3])
@pytest.mark.parametrize(("limit", "warm", "long"), [(10, 60, 180), (50, 30, 60), (200, 20, 35)])
@pytest.mark.parametrize("limiter", [FixedWindow, SlidingWindow, TokenBucket])
def test_a_limit_is_used_and_kept(
    limiter: Any, limit: int, warm: float, long: float, latency: float, retry_after: float | None
) -> None:
    """In steady state no more than 1 % of the calls are refused, and at least 90 % of the limit is used."""
    platform = Platform(limiter(limit), latency, retry_after)
    on_own_clock(pull(platform, long, workers=enough(limit, latency)))
    used, refused = platform.seen(warm, long)
    assert used >= 0.9 * limit
    assert refused <= 0.01


@pytest.mark.parametrize("limiter", [FixedWindow, SlidingWindow, TokenBucket])
def test_a_limit_that_moves_is_followed(limiter: Any) -> None:
    """A minute after the limit has fallen to a third, and after it has risen again, it is used and kept."""
    platform = Platform(limiter(30), 0.1)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(60, setattr, platform.limiter, "limit", 10)
        loop.call_at(180, setattr, platform.limiter, "limit", 30)
        await pull(platform, 300, workers=enough(30, 0.1))

    on_own_clock(main())
    for limit, since in ((10, 120), (30, 240)):
        used, refused = platform.seen(since, since + 60)
        assert used >= 0.9 * limit
        assert refused <= 0.01


@pytest.mark.parametrize("per_second", [1, 7, 40])
def test_no_second_holds_more_calls_than_are_allowed(per_second: int) -> None:
    """Not even where the event loop is late now and then: each call leaves a second or more after the Nth before it."""
    draw = random.Random(3)
    stalls = (draw.choice([1e-9] * 99 + [0.02]) for _ in itertools.count())
    platform = Platform(TokenBucket(math.inf), 0.3)
    on_own_clock(pull(platform, 60, workers=40, per_second=per_second), stalls)
    asked = platform.asked
    assert all(later >= earlier + 1 for earlier, later in zip(asked, asked[per_second:], strict=False))
    assert sum(at < 60 for at in asked) >= 0.9 * 60 * per_second


class Proxied(Platform):
    """A platform behind nginx, whose answers are its own."""

    def __init__(self, limiter: LimitReq, status: int) -> None:
        super().__init__(limiter, 0.005)
        self.refusal = Response(status, {"content-type": "text/html"}, b"<html>")

    async def send(self, *_: Any) -> Response:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.way())
        now = loop.time()
        delay = self.limiter.delay(now)
        (self.refused if delay is None else self.accepted).append(now)
        await asyncio.sleep((delay or 0.0) + self.way())
        return self.refusal if delay is None else Response(200, {}, b'{"error": 0, "data": []}')


async def pull_all(platform: Platform, calls: int, *, workers: int) -> float:
    """So many calls by some workers, with the real pauses; when they were done."""
    loop = asyncio.get_running_loop()
    retry = Retry(constants.ATTEMPTS, constants.BACKOFF_INITIAL, constants.BACKOFF_MAX)
    options: Any = {"list_id": 1, "max_connections": workers, "retry": retry, "transport": platform}
    async with BulkClient("https://example.com", "t0ken", **options) as client:
        client._pace = AdaptivePace(None, loop.time)
        call, left = client.core.history_by({"xxh": "1"}, 1, Window.of()), iter(range(calls))

        async def work() -> None:
            for _ in left:
                await client.ask(call, client.core.page_of)

        await asyncio.gather(*(work() for _ in range(workers)))
    return loop.time()


@pytest.mark.parametrize("busy", [False, True], ids=["", "busy"])
@pytest.mark.parametrize("workers", [4, 16, 64])
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("burst", "nodelay"), [(0, True), (5, False), (5, True)])
def test_nginx_limits(burst: int, nodelay: bool, status: int, workers: int, busy: bool) -> None:
    """A short pull takes no more than 1.5 times what the limit alone takes, also where the event loop is often late."""
    for seed in range(3):
        random.seed(seed)  # for the pauses between tries
        draw = random.Random(seed)
        stalls = (draw.uniform(0, 0.05) if busy and draw.random() < 0.005 else 1e-9 for _ in itertools.count())
        platform = Proxied(LimitReq(20, burst, nodelay=nodelay), status)
        took = on_own_clock(pull_all(platform, 300, workers=workers), stalls)
        _, refused = platform.seen(10, took)
        assert took <= 1.5 * 300 / 20
        assert refused < 0.04  # under 5 % by a real clock too
