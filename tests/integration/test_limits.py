"""What bounds a pull's requests, on real sockets: a platform that limits them, and a target that writes slowly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.targets import Scope, Written
from airflow_provider.altcraft.testing import Emulator

WORKERS = 4


class SlowTarget:
    """Holds each batch until no more requests come, and notes how far these are ahead of the profiles written."""

    template_fields = ()

    def __init__(self, api: Emulator) -> None:
        self.api = api
        self.written = 0
        self.ahead: list[int] = []

    def open(self, scope: Scope) -> SlowTarget:
        return self

    def write(self, batch: Any) -> None:
        asked = -1
        while asked < (asked := self.api.request_count):
            time.sleep(0.3)
        self.written += len(set(batch.column("lookup").to_pylist()))
        self.ahead.append(asked - self.written)

    def commit(self) -> Written:
        return Written((), 0)

    def abort(self) -> None:
        """Nothing is kept."""


def test_a_slow_target_slows_the_requests(altcraft_api: Emulator, connect: Callable[..., str]) -> None:
    connect(altcraft_api)
    profiles = 150
    altcraft_api.seed(profiles=profiles, events_per_profile=400)
    target = SlowTarget(altcraft_api)
    AltcraftHistoryOperator(
        task_id="pull",
        profiles=[f"user{number}@example.com" for number in range(profiles)],
        target=target,
        concurrency=WORKERS,
    ).execute({})
    assert target.written == altcraft_api.request_count == profiles
    assert len(target.ahead) == 6
    # Beyond the batch that is being written there are the answers that wait: at least some, or nothing is side by side.
    assert 0 < max(target.ahead) <= 4 * WORKERS


def test_a_limit_is_used_and_kept(altcraft_api: Emulator) -> None:
    limit, warm, long = 50, 6.0, 16.0
    altcraft_api.add_profile(email="ann@example.com")
    altcraft_api.latency = 0.02
    altcraft_api.requests_per_second = limit
    answered = 0

    async def main() -> tuple[int, int]:
        nonlocal answered
        async with BulkClient(altcraft_api.url, altcraft_api.token, list_id=1, max_connections=16) as client:

            async def work() -> None:
                nonlocal answered
                while True:
                    await client.get_history("ann@example.com")
                    answered += 1

            workers = [asyncio.create_task(work()) for _ in range(16)]
            await asyncio.sleep(warm)
            before = answered, altcraft_api.request_count
            await asyncio.sleep(long - warm)
            taken, asked = answered - before[0], altcraft_api.request_count - before[1]
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            return taken, asked

    taken, asked = asyncio.run(main())
    print(f"{taken / (long - warm):.1f} a second of {limit}, {asked - taken} of {asked} refused")
    assert taken >= 0.9 * limit * (long - warm)
    assert asked - taken <= 0.01 * asked
