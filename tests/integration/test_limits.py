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
            time.sleep(0.2)
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


@pytest.mark.soak
def test_a_limit_is_used_and_kept(altcraft_api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than 1 % of the calls are refused, and at least 90 % of the limit is used; ``test_pace`` has more cases.

    By the real clock, so a crowded machine would spoil it.
    """
    limit, warm, long = 50, 10.0, 50.0
    altcraft_api.add_profile(email="ann@example.com")
    altcraft_api.latency = 0.02
    altcraft_api.requests_per_second = limit
    refusals: list[bool] = []
    too_fast = altcraft_api.too_fast

    def noted() -> bool:
        refusals.append(too_fast())
        return refusals[-1]

    monkeypatch.setattr(altcraft_api, "too_fast", noted)

    async def main() -> list[bool]:
        async with BulkClient(altcraft_api.url, altcraft_api.token, list_id=1, max_connections=16) as client:

            async def work() -> None:
                while True:
                    await client.get_history("ann@example.com")

            workers = [asyncio.create_task(work()) for _ in range(16)]
            await asyncio.sleep(warm)
            before = len(refusals)
            await asyncio.sleep(long - warm)
            steady = refusals[before:]
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            return steady

    steady = asyncio.run(main())
    taken = steady.count(False) / (long - warm)
    print(f"{taken:.1f} a second of {limit}, {sum(steady)} of {len(steady)} refused")
    assert taken >= 0.9 * limit
    assert sum(steady) <= 0.01 * len(steady)
