"""An outage is judged by all calls of a client together, on a clock of its own: minutes pass at once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider.altcraft.client import (
    AsyncAltcraftClient,
    BadRequestError,
    ConnectError,
    Response,
    RetriableError,
    Retry,
    TokenError,
)
from airflow_provider.altcraft.client import _constants as constants
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.client._pace import AdaptivePace
from airflow_provider.altcraft.window import Window
from tests.unit.client.test_pace import on_own_clock

GOOD = Response(200, {}, b'{"error": 0, "data": []}')
LATENCY = 0.1
REAL = Retry(constants.ATTEMPTS, constants.BACKOFF_INITIAL, constants.BACKOFF_MAX)

Fails = Callable[[float, bytes], Any]
"""By the time and the request: what is answered or raised instead of a good answer; ``None`` for that."""


@pytest.fixture(autouse=True)
def repeatable() -> None:
    """The pauses between tries are drawn at random."""
    random.seed(7)


class Platform:
    """A transport that notes when it was asked."""

    def __init__(self, fails: Fails) -> None:
        self.fails = fails
        self.asked: list[float] = []

    async def send(self, url: str, headers: Any, body: bytes) -> Response:
        loop = asyncio.get_running_loop()
        self.asked.append(loop.time())
        await asyncio.sleep(LATENCY)
        failure = self.fails(loop.time(), body)
        if isinstance(failure, Exception):
            raise failure
        return failure or GOOD

    async def aclose(self) -> None:
        """Nothing is open."""


def run(
    platform: Platform,
    *,
    calls: int = 400,
    workers: int = 16,
    kind: type[AsyncAltcraftClient] = BulkClient,
    lasting: bool = False,
    outage_timeout: float = 120.0,
) -> float:
    """So many calls of one client by some workers; when they were done. The first error ends all."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"list_id": 1, "max_connections": workers, "outage_timeout": outage_timeout}
        async with kind("https://example.com", "t0ken", retry=REAL, transport=platform, **options) as client:
            client._pace = AdaptivePace(None, loop.time)
            asking = client.lasting() if lasting else client
            left = iter(range(calls))

            async def work() -> None:
                for number in left:
                    call = client.core.history_by({"xxh": f"{number:x}."}, 1, Window.of())
                    await asking._send(call, client.core.page_of)

            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(work())
            return loop.time()

    return on_own_clock(main())


def away(begin: float, end: float) -> Fails:
    return lambda now, body: ConnectError("refused") if begin <= now < end else None


@pytest.mark.parametrize("seconds", [0.3, 1, 2, 5, 20, 100])
@pytest.mark.parametrize("workers", [1, 4, 16, 64])
def test_an_outage_is_outlasted(seconds: float, workers: int) -> None:
    """Of any length below the time-out; and the calls go on soon after it, as fast as before."""
    platform = Platform(away(1, 1 + seconds))
    ended = run(platform, calls=40 * workers, workers=workers)
    assert ended < 4 + 1.2 * seconds + 10


def test_while_nothing_is_answered_few_calls_leave() -> None:
    platform = Platform(away(1, 61))
    run(platform, workers=64, calls=2000)
    during = [at for at in platform.asked if 5 < at < 61]
    assert 10 < len(during) < 60
    assert all(later - sooner > 0.4 for sooner, later in pairwise(during))


def test_an_outage_that_is_too_long_ends_it_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    platform = Platform(away(1, 1e9))
    with pytest.raises(ExceptionGroup) as caught:
        run(platform, outage_timeout=30)
    error = caught.value.exceptions[0]
    assert isinstance(error, RetriableError)
    assert error.outage
    assert "no call was answered for outage_timeout=30 s" in str(error)
    *_, answered = (at for at in platform.asked if at + LATENCY < 1)
    assert 30 <= platform.asked[-1] - answered < 45
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 1
    assert "does not answer any more" in said[0]


def test_calls_that_failed_just_before_the_last_answer_have_met_the_outage_too() -> None:
    """It begins for each call at another moment; the first to be given up is not to blame for it."""

    def fails(now: float, body: bytes) -> Exception | None:
        number = int(body.partition(b'"xxh":"')[2].partition(b".")[0], 16)
        return ConnectError("refused") if now >= (1.25 if number >= 175 else 1.05) else None

    platform = Platform(fails)
    with pytest.raises(ExceptionGroup) as caught:
        run(platform, outage_timeout=30)
    error = caught.value.exceptions[0]
    assert isinstance(error, RetriableError)
    assert error.outage


def test_outages_between_answers_do_not_count_as_failures_of_one_call() -> None:
    """Each shorter than the time-out, all together longer; one call is asked during them alone."""

    def fails(now: float, body: bytes) -> Exception | None:
        return ConnectError("refused") if now < 100 and (now % 20 > 6 or b'"3."' in body) else None

    assert run(Platform(fails), calls=20_000, outage_timeout=60) > 100


def test_one_call_may_fail_for_long_while_others_go_well() -> None:
    platform = Platform(lambda now, body: Response(500, {}, b"") if b'"3."' in body and now < 60 else None)
    assert 60 < run(platform, calls=2000) < 70


def test_one_call_that_always_fails_ends_it_by_its_own_fault() -> None:
    platform = Platform(lambda now, body: Response(500, {}, b"") if b'"3."' in body else None)
    with pytest.raises(ExceptionGroup) as caught:
        run(platform, calls=10**6, outage_timeout=30)
    error = caught.value.exceptions[0]
    assert isinstance(error, RetriableError)
    assert not error.outage
    assert "this call failed while others were answered for outage_timeout=30 s" in str(error)


def test_a_token_that_is_revoked_ends_it_at_once() -> None:
    refused = Response(401, {}, b'{"error": 401, "error_text": "no"}')
    platform = Platform(lambda now, body: refused if now > 2 else None)
    with pytest.raises(ExceptionGroup) as caught:
        run(platform)
    assert isinstance(caught.value.exceptions[0], TokenError)
    assert platform.asked[-1] < 2.2


@pytest.mark.parametrize("status", [302, 403, 404, 405, 501])
def test_pages_of_another_server_between_answers_are_a_hiccup(status: int) -> None:
    """A load balancer whose backend is being replaced sends its own pages for a while."""
    page = Response(status, {"content-type": "text/html"}, b"<html><title>Not here</title>")
    platform = Platform(lambda now, body: page if 1 < now < 6 else None)
    assert 6 < run(platform) < 15


def test_pages_of_another_server_for_longer_than_the_time_out_end_it() -> None:
    page = Response(404, {"content-type": "text/html"}, b"<html>")
    with pytest.raises(ExceptionGroup) as caught:
        run(Platform(lambda now, body: page if now > 1 else None), outage_timeout=30)
    error = caught.value.exceptions[0]
    assert isinstance(error, RetriableError)
    assert "is the connection's host right?" in str(error)
    assert "though the API answered before" in str(error)
    assert error.outage


def test_a_page_of_another_server_before_any_answer_ends_it_at_once() -> None:
    """The address is wrong, which no waiting helps."""
    platform = Platform(lambda now, body: Response(404, {"content-type": "text/html"}, b"<html>"))
    with pytest.raises(ExceptionGroup) as caught:
        run(platform)
    assert isinstance(caught.value.exceptions[0], BadRequestError)
    assert platform.asked[-1] < 0.2


@pytest.mark.parametrize("status", [502, 503, 504])
def test_refusals_between_answers_slow_it_down_and_are_reported_once(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[float] = []

    def fails(now: float, body: bytes) -> Response | None:
        if sum(at > now - 1 for at in taken[-20:]) >= 20:
            return Response(status, {}, b"<html>")
        taken.append(now)
        return None

    platform = Platform(fails)
    ended = run(platform, calls=1000)
    assert ended < 1.3 * 1000 / 20
    later = sum(at > 15 for at in platform.asked)
    assert later - sum(at > 15 for at in taken) < 0.05 * later
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 1
    assert "requests_per_second" in said[0]


def test_a_watcher_outlasts_what_ends_a_single_call() -> None:
    kind = AsyncAltcraftClient
    assert run(Platform(away(0, 60)), kind=kind, lasting=True) > 60
    with pytest.raises(ExceptionGroup):
        run(Platform(away(0, 60)), kind=kind)


def test_a_single_call_outlasts_five_seconds() -> None:
    for _ in range(20):
        assert run(Platform(away(0, 5)), kind=AsyncAltcraftClient, calls=1, workers=1) > 5


def test_of_a_shared_client_a_try_that_fails_while_others_are_answered_is_not_counted() -> None:
    platform = Platform(lambda now, body: Response(500, {}, b"") if b'"3."' in body and now < 60 else None)
    assert run(platform, kind=AsyncAltcraftClient, calls=20_000) > 60
