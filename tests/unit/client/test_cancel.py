"""What becomes of requests whose callers are cancelled."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import struct
import threading
from typing import Any

import pytest

from airflow_provider.altcraft.client import AltcraftError, AsyncAltcraftClient, Retry
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.client.wire import ANN, GOOD, TOKEN


def connected(url: str, token: str, **options: Any) -> AsyncAltcraftClient:
    options = {
        "list_id": 1,
        "max_connections": 2,
        "timeout": 20,
        "outage_timeout": 0,
        "retry": Retry(attempts=1),
    } | options
    return AsyncAltcraftClient(url, token, **options)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.005)


def test_a_request_that_fails_after_its_caller_has_gone(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asyncio")
    gone = threading.Event()

    def play(one: socket.socket) -> None:
        server.read(one)
        if gone.is_set():
            one.sendall(GOOD)
            return
        gone.wait(60)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()

    server = serve(play)

    async def ask() -> None:
        async with connected(f"http://127.0.0.1:{server.port}", TOKEN) as asking:
            tasks = [asyncio.create_task(asking.get_history(ANN)) for _ in range(2)]
            await until(lambda: len(server.asked) == 2)
            for task in tasks:
                task.cancel()
            assert all(
                isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
            )
            assert len(asyncio.all_tasks()) == 3  # the requests go on
            gone.set()
            await until(lambda: len(asyncio.all_tasks()) == 1)
            assert await asking.get_history(ANN) == []
        del tasks
        gc.collect()

    asyncio.run(ask())
    assert "never retrieved" not in caplog.text
    assert len(server.asked) == 3


def test_it_keeps_its_slot_until_its_time_out(altcraft_api: Emulator) -> None:
    """A new call waits for the slot, and its own time does not run in the meantime."""
    altcraft_api.play(*[faults.stall()] * 2)

    async def ask() -> None:
        async with connected(altcraft_api.url, altcraft_api.token, timeout=2) as asking:
            tasks = [asyncio.create_task(asking.get_history(ANN)) for _ in range(2)]
            await until(lambda: len(altcraft_api.requests) == 2)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            altcraft_api.latency = 0.5
            assert await asking.get_history(ANN) == []
            assert altcraft_api.open_connections <= 2

    asyncio.run(ask())


def test_calls_that_wait_for_a_slot_can_be_cancelled_and_never_leave(altcraft_api: Emulator) -> None:
    altcraft_api.play(*[faults.latency(2)] * 2)

    async def ask() -> None:
        async with connected(altcraft_api.url, altcraft_api.token) as asking:
            first = [asyncio.create_task(asking.get_history(ANN)) for _ in range(2)]
            waiting = [asyncio.create_task(asking.get_history(ANN)) for _ in range(50)]
            await until(lambda: len(altcraft_api.requests) == 2)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert await asyncio.gather(*first) == [[], []]
            assert await asking.get_history(ANN) == []

    asyncio.run(ask())
    assert len(altcraft_api.requests) == 3


def test_a_caller_that_is_cancelled_while_the_client_closes(altcraft_api: Emulator) -> None:
    altcraft_api.play_forever(faults.stall())

    async def ask() -> list[Any]:
        asking = connected(altcraft_api.url, altcraft_api.token, max_connections=4)
        tasks = [asyncio.create_task(asking.get_history(ANN)) for _ in range(6)]
        await until(lambda: len(altcraft_api.requests) == 4)
        for task in tasks[::2]:
            task.cancel()
        await asking.aclose()
        await asking.aclose()
        return await asyncio.gather(*tasks, return_exceptions=True)

    ends = asyncio.run(ask())
    assert [isinstance(end, asyncio.CancelledError) for end in ends] == [True, False] * 3
    assert {str(end) for end in ends[1::2]} == {"subscribers/history_get: the client is closed"}
    assert all(isinstance(end, AltcraftError) for end in ends[1::2])
