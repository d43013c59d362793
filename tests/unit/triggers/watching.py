"""A watcher's trigger without an Airflow around it: its asset's state store, and what it fires during a test."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import airflow

from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.triggers.action import AltcraftActionEventTrigger

Payload = dict[str, Any]

ON_AIRFLOW_3_3 = tuple(map(int, airflow.__version__.split(".")[:2])) >= (3, 3)
SOON = 0.1
HOUR_AGO = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)


class Store:
    """An asset's state store, with what Airflow's asks of values."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.fails = 0

    def _check(self) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the API server is away")

    async def aget(self, key: str, default: Any = None) -> Any:
        self._check()
        return json.loads(self.rows[key]) if key in self.rows else default

    async def aset(self, key: str, value: Any) -> None:
        self._check()
        assert value is not None
        self.rows[key] = json.dumps(value)

    async def adelete(self, key: str) -> None:
        self._check()
        self.rows.pop(key, None)


def watcher(store: Store | None = None, **arguments: Any) -> AltcraftActionEventTrigger:
    made = AltcraftActionEventTrigger(**{"actions": "form_post", "poll_interval": SOON, "since": HOUR_AGO} | arguments)
    made.asset_state_store = store
    return made


async def fired(
    trigger: AltcraftActionEventTrigger, api: Emulator, *, requests: int, then: Callable[[], object] | None = None
) -> list[Payload]:
    """What the trigger fires until so many polls, with ``then`` in between. A poll of a database asks twice."""
    found: list[Payload] = []

    async def listen() -> None:
        async with aclosing(trigger.run()) as events:
            async for event in events:
                found.append(json.loads(json.dumps(event.payload)))  # noqa: PERF401 - seen while it goes on

    listening = asyncio.create_task(listen())
    try:
        await polled(api, len(api.requests) + (requests if then is None else requests // 2))
        if then is not None:
            then()
            await polled(api, len(api.requests) + requests)
        assert not listening.done()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return found


async def polled(api: Emulator, times: int) -> None:
    """Until the emulator was asked so often, and the answer was dealt with."""
    async with asyncio.timeout(30):
        while len(api.requests) < times:  # noqa: ASYNC110 - the emulator lives in another thread
            await asyncio.sleep(0.01)
    await asyncio.sleep(SOON)


def keys(payloads: list[Payload]) -> list[str]:
    return [key for payload in payloads for key in payload["keys"]]


async def through_airflow(
    api: Emulator, triggers: list[AltcraftActionEventTrigger], polls: int, then: Callable[[], object]
) -> list[list[Payload]]:
    """As the triggerer of Airflow 3.3 runs them: one stream for all with one key."""
    import structlog
    from airflow.triggers.shared_stream import SharedStreamManager

    streams = SharedStreamManager(log=structlog.get_logger(), max_subscriber_queue=1024)
    found: list[list[Payload]] = [[] for _ in triggers]

    async def listen(number: int, trigger: AltcraftActionEventTrigger) -> None:
        key = trigger.shared_stream_key()
        stream: AsyncIterator[Any] = streams.subscribe(trigger_id=number, trigger=trigger, key=key)
        async for event in trigger.filter_shared_stream(stream):
            found[number].append(event.payload)

    tasks = [asyncio.create_task(listen(number, trigger)) for number, trigger in enumerate(triggers)]
    await polled(api, 1)
    then()
    await polled(api, len(api.requests) + polls)
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await streams.stop_all()
    return found
