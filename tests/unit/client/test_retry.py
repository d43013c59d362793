"""Pauses between tries, and the pace at which calls leave."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import format_datetime
from typing import Any

import pytest

from airflow_provider.altcraft.client import (
    AltcraftClient,
    AsyncAltcraftClient,
    Response,
    Retry,
    ServerError,
    _constants,
)
from airflow_provider.altcraft.client._retry import Pace
from airflow_provider.altcraft.testing import Emulator, faults

ANN = "ann@example.com"
GOOD = Response(200, {}, b'{"error": 0}')


class Script:
    """Both kinds of transport: gives these answers, the last one for ever."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.sent: list[float] = []

    def send(self, *_: Any) -> Response:
        self.sent.append(time.monotonic())
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def close(self) -> None:
        """Nothing is open."""


class AsyncScript(Script):
    async def send(self, *_: Any) -> Response:  # type: ignore[override]
        return super().send()

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that were asked for, none of which is made."""
    asked: list[float] = []

    async def asleep(seconds: float) -> None:
        sleep(seconds)

    def sleep(seconds: float) -> None:
        if seconds:  # a call's turn is at once
            asked.append(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(asyncio, "sleep", asleep)
    return asked


def by_sync(retry: Retry, *answers: Response) -> int:
    script = Script(*answers)
    with AltcraftClient("https://example.com", "t0ken", list_id=1, retry=retry, transport=script) as asking:
        with suppress(ServerError):
            asking.get_history(ANN)
    return len(script.sent)


def by_async(retry: Retry, *answers: Response) -> int:
    script = AsyncScript(*answers)

    async def ask() -> None:
        asking = AsyncAltcraftClient("https://example.com", "t0ken", list_id=1, retry=retry, transport=script)
        async with asking:
            with suppress(ServerError):
                await asking.get_history(ANN)

    asyncio.run(ask())
    return len(script.sent)


def failure(retry_after: str | None = None) -> Response:
    return Response(503, {} if retry_after is None else {"retry-after": retry_after}, b"")


@pytest.mark.parametrize("ask", [by_sync, by_async], ids=["sync", "async"])
class TestPauses:
    """How long a client waits between tries."""

    def test_they_double_up_to_the_longest_and_are_drawn_above_the_half(self, ask: Any, pauses: list[float]) -> None:
        retry = Retry(attempts=7, wait_initial=0.5, wait_max=4.0)
        drawn = []
        for _ in range(50):
            assert ask(retry, failure()) == 7
            drawn.append(pauses.copy())
            pauses.clear()
        bounds = [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
        for at_this_place, bound in zip(zip(*drawn, strict=True), bounds, strict=True):
            assert 0.5 * bound <= min(at_this_place) < 0.7 * bound
            assert 0.8 * bound < max(at_this_place) <= bound

    def test_together_they_span_more_than_five_seconds(self, ask: Any, pauses: list[float]) -> None:
        real = Retry(_constants.ATTEMPTS, _constants.BACKOFF_INITIAL, _constants.BACKOFF_MAX)
        for _ in range(20):
            assert ask(real, failure()) == 5
            assert sum(pauses) > 5
            pauses.clear()

    def test_one_attempt_is_one_attempt(self, ask: Any, pauses: list[float]) -> None:
        assert ask(Retry(attempts=1), failure()) == 1
        assert pauses == []

    def test_never_sooner_than_asked(self, ask: Any, pauses: list[float]) -> None:
        assert ask(Retry(attempts=3, wait_initial=0.5, wait_max=1.0), failure("7"), failure("1.5"), GOOD) == 3
        assert pauses == [7.0, 1.5]

    @pytest.mark.parametrize("asked", ["0", "0.001", "Thu, 01 Jan 1970 00:00:00 GMT"])
    def test_at_once_does_not_mean_without_any_pause(self, ask: Any, pauses: list[float], asked: str) -> None:
        assert ask(Retry(attempts=4, wait_initial=1.0, wait_max=8.0), failure(asked)) == 4
        assert all(0 < pause <= 4 for pause in pauses)
        assert max(pauses) > 0.05

    def test_a_date(self, ask: Any, pauses: list[float]) -> None:
        at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60)
        assert ask(Retry(wait_initial=0.1, wait_max=0.1), failure(format_datetime(at, usegmt=True)), GOOD) == 2
        assert 30 < pauses[0] <= 60

    @pytest.mark.parametrize(("asked", "tries"), [("120", 2), ("120.1", 1), ("9" * 500, 1)])
    def test_the_cap(self, ask: Any, pauses: list[float], asked: str, tries: int) -> None:
        assert ask(Retry(wait_initial=0.1, wait_max=0.1), failure(asked), GOOD) == tries
        assert pauses == [120.0] * (tries - 1)

    def test_each_is_said(self, ask: Any, pauses: list[float], caplog: pytest.LogCaptureFixture) -> None:
        assert ask(Retry(attempts=2), failure("7"), GOOD) == 2
        (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert record.getMessage() == (
            "Try 1 of 2 failed, the next one in 7.0 s: subscribers/history_get: the server failed "
            "(HTTP 503, an empty body); asked to wait 7 s"
        )


class TestPace:
    """``requests_per_second``."""

    def test_turns_are_a_gap_apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        pace = Pace(4)
        waits = []
        for _ in range(3):
            waits.append(pace.wait())
            pace.leave()
        assert waits == [0, 0.25, 0.5]
        now = 200.0
        assert pace.wait() == 0  # what was not used before is not made up for
        pace.leave()
        assert pace.wait() == 0.25

    def test_one_that_gives_up_leaves_the_turn_to_the_next(self) -> None:
        script = AsyncScript(GOOD)

        async def ask() -> float:
            async with AsyncAltcraftClient(
                "https://example.com", "t0ken", list_id=1, requests_per_second=1, transport=script
            ) as asking:
                await asking.get_history(ANN)
                for _ in range(20):
                    tasks = [asyncio.create_task(asking.get_history(ANN)) for _ in range(20)]
                    await asyncio.sleep(0)
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                await asking.get_history(ANN)
            return script.sent[1] - script.sent[0]

        assert 0.99 < asyncio.run(ask()) < 5
        assert len(script.sent) == 2

    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_no_burst_when_slots_come_free_at_once(self, altcraft_api: Emulator, kind: str) -> None:
        """Calls that waited for a slot do not make up for the turns that passed in the meantime."""
        # The first four leave at turns of 0.5 s, and end together.
        altcraft_api.play(*(faults.latency(seconds) for seconds in (3.0, 2.5, 2.0, 1.5)))
        options: dict[str, Any] = {"list_id": 1, "max_connections": 4, "requests_per_second": 2}

        async def ask() -> None:
            async with AsyncAltcraftClient(altcraft_api.url, altcraft_api.token, **options) as asking:
                await asyncio.gather(*(asking.get_history(ANN) for _ in range(8)))

        if kind == "async":
            asyncio.run(ask())
        else:
            with (
                AltcraftClient(altcraft_api.url, altcraft_api.token, **options) as asking,
                ThreadPoolExecutor(8) as pool,
            ):
                list(pool.map(asking.get_history, [ANN] * 8))
        at = [request.at for request in altcraft_api.requests]
        assert len(at) == 8
        # Four in a row take three gaps, 1.5 s; a tenth of that allows for a busy machine. At once takes none.
        assert min((later - sooner).total_seconds() for sooner, later in zip(at, at[3:], strict=False)) > 0.15
