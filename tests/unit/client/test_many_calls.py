"""What several calls at once do to the connections of each transport: waits, cancellation, closing, a slow look-up."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider.altcraft.client import AltcraftClient, AltcraftError, AsyncAltcraftClient, Retry
from airflow_provider.altcraft.client import _errors as errors
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.client.transport import _httpx
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.client.wire import ANN, KINDS, descriptors, until

SOON = 2.0
"""Seconds of a time-out that a test waits for."""
LATE = 30.0


def connected(kind: Any, api: Emulator, **options: Any) -> Any:
    return kind(
        api.url, api.token, list_id=1, **{"timeout": LATE, "outage_timeout": 0, "retry": Retry(attempts=1)} | options
    )


ASYNC = pytest.mark.parametrize("kind", [AsyncAltcraftClient, BulkClient], ids=["httpx", "aiohttp"])


@pytest.fixture
def api(altcraft_api: Emulator) -> Iterator[Emulator]:
    """An emulator to which nobody is connected in the end, nor a descriptor left open."""
    before = descriptors()
    yield altcraft_api
    until(lambda: altcraft_api.open_connections == 0 and descriptors() <= before)


@pytest.mark.parametrize("kind", KINDS, ids=["sync", "httpx", "aiohttp"])
def test_waiting_for_the_only_connection_is_no_time_out(api: Emulator, kind: Any) -> None:
    """The pool: what waits in it has its own time still whole."""
    api.latency = 0.15 * SOON  # eight take longer than the time-out
    options: dict[str, Any] = {"max_connections": 1, "timeout": SOON}

    async def in_loop() -> list[Any]:
        async with connected(kind, api, **options) as client:
            return await asyncio.gather(*(client.get_history(ANN) for _ in range(8)))

    def in_threads() -> list[Any]:
        with connected(kind, api, **options) as client, ThreadPoolExecutor(8) as pool:
            return list(pool.map(client.get_history, [ANN] * 8))

    assert (in_threads() if kind is AltcraftClient else asyncio.run(in_loop())) == [[]] * 8
    assert [request.connection for request in api.requests] == [1] * 8


@ASYNC
@pytest.mark.parametrize("connections", [1, 8])
def test_cancelled_by_the_thousand(api: Emulator, kind: Any, connections: int) -> None:
    """At any moment, from before they connect on: no connection is lost to the pool."""
    drawn = random.Random(connections)

    async def ask() -> None:
        async with connected(kind, api, max_connections=connections) as client:
            for _ in range(50):
                tasks = [asyncio.create_task(client.get_history(ANN)) for _ in range(20)]
                for _ in range(drawn.randrange(30)):
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert await asyncio.gather(*(client.get_history(ANN) for _ in range(50))) == [[]] * 50
            assert api.open_connections <= connections
            async with asyncio.timeout(20):
                while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - requests that have left go on
                    await asyncio.sleep(0.005)

    asyncio.run(ask())


@ASYNC
def test_closed_in_flight(api: Emulator, kind: Any) -> None:
    api.play_forever(faults.stall())

    async def ask() -> list[Any]:
        client = connected(kind, api)
        tasks = [asyncio.create_task(client.get_history(ANN)) for _ in range(5)]
        await asyncio.to_thread(until, lambda: len(api.requests) == 5)
        await client.aclose()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert len(asyncio.all_tasks()) == 1
        return ends

    started = time.monotonic()
    ends = asyncio.run(ask())
    assert time.monotonic() - started < LATE / 2
    assert {(type(end).__name__, str(end)) for end in ends} == {
        ("FatalError", "subscribers/history_get: the client is closed")
    }


def test_closed_in_flight_in_other_threads(api: Emulator) -> None:
    """They end by their time-out, as documented."""
    api.play_forever(faults.stall())
    client = connected(AltcraftClient, api, timeout=SOON)
    with ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(client.get_history, ANN) for _ in range(5)]
        until(lambda: len(api.requests) == 5)
        client.close()
        ends = [call.exception(timeout=LATE) for call in calls]
    assert all(isinstance(end, AltcraftError) for end in ends), ends


@pytest.mark.parametrize("kind", KINDS, ids=["sync", "httpx", "aiohttp"])
def test_a_slow_look_up_of_the_name(api: Emulator, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent too late, either where nothing can break the look-up off."""
    looked_up, slow = socket.getaddrinfo, threading.Event()

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        slow.wait(2 * SOON)
        return looked_up(
            "127.0.0.1" if host in {"altcraft.invalid", b"altcraft.invalid"} else host, *arguments, **options
        )

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(_httpx, "CONNECT_TIMEOUT", SOON / 2)  # long before that of the whole call
    url = api.url.replace("127.0.0.1", "altcraft.invalid")
    options: dict[str, Any] = {"list_id": 1, "timeout": SOON, "outage_timeout": 0, "retry": Retry(attempts=1)}

    async def in_loop() -> None:
        async with kind(url, api.token, **options) as client:
            with pytest.raises(errors.RequestTimeoutError, match=r"no connection within 1 s; nothing was sent"):
                await client.get_history(ANN)
            assert api.requests == []
            slow.set()
            assert await client.get_history(ANN) == []
            async with asyncio.timeout(20):
                while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - the look-up that nobody waits for
                    await asyncio.sleep(0.005)

    def in_thread() -> None:
        with kind(url, api.token, **options) as client:
            with pytest.raises(errors.RequestTimeoutError, match=r"no connection within 1 s; nothing was sent"):
                client.get_history(ANN)
            assert api.requests == []
            slow.set()
            assert client.get_history(ANN) == []

    in_thread() if kind is AltcraftClient else asyncio.run(in_loop())
