"""The state of a watcher: what it has fired for, and how that outlives the triggerer in the asset's state store."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft.triggers._watch_times import WatchTimes
from airflow_provider.altcraft.waiting.processed_keys import ProcessedKeys
from airflow_provider.altcraft.window import UTC, back

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import HistoryEvent
    from airflow_provider.altcraft.triggers._shared_poller import Poll

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Firing:
    """Events that were fired for at once: when it was, up to when all was polled (if it was), and which events."""

    at: float
    watermark: dt.datetime | None
    events: dict[str, dt.datetime]


class WatchProgress:
    """Tells new events from those that were fired for.

    Events that were fired for go into ``processed`` a while later, when Airflow surely has them: what is stored never
    says of an event that it was fired for before it is so. ``zone`` is whose days the lookback has.
    """

    def __init__(
        self, processed: ProcessedKeys, lookback: dt.timedelta, times: WatchTimes, zone: dt.tzinfo = UTC
    ) -> None:
        self.processed = processed
        self._lookback, self._zone = lookback, zone
        self._times = times
        self._firings: deque[_Firing] = deque()
        self._stored = time.monotonic()

    @property
    def start(self) -> dt.datetime:
        """From when on events are to be polled."""
        watermarks = [firing.watermark for firing in self._firings if firing.watermark is not None]
        return self._horizon(max([self.processed.watermark, *watermarks]))

    def new_events(self, poll: Poll, actions: Collection[str]) -> list[tuple[str, HistoryEvent]]:
        """The events of a poll that nothing was fired for; by time."""
        start = self.start
        return [
            (key, event)
            for key, event in poll.events
            if event.action in actions
            and event.datetime >= start
            and key not in self.processed
            and not any(key in firing.events for firing in self._firings)
        ]

    def fire(self, events: Iterable[tuple[str, HistoryEvent]], watermark: dt.datetime | None) -> None:
        """These are fired for now; all up to the watermark was, where one is given."""
        self._firings.append(_Firing(time.monotonic(), watermark, {key: event.datetime for key, event in events}))

    def settle(self, *, at_once: bool = False) -> bool:
        """Move what has settled, or everything, into ``processed``; returns whether that should be stored now."""
        now, changed = time.monotonic(), False
        while self._firings and (at_once or now - self._firings[0].at >= self._times.settled):
            firing = self._firings.popleft()
            self.processed.add(firing.events.items())
            self.processed.watermark = max(self.processed.watermark, firing.watermark or self.processed.watermark)
            changed = changed or bool(firing.events)
        self.processed.forget(self._horizon(self.processed.watermark))
        if not changed and now - self._stored < self._times.store_every:
            return False
        self._stored = now
        return True

    def _horizon(self, watermark: dt.datetime) -> dt.datetime:
        return max(self.processed.since, back(watermark, self._lookback, self._zone))


class WatchState:
    """Stores ``ProcessedKeys`` in the state stores of the assets that a trigger watches for (Airflow 3.3).

    Args:
        store: Airflow's accessors; ``None`` where there are none, so that nothing is kept.
        name: what the rows' names begin with.
        times: how long it waits before it looks again whether there is something to store, or tries again.
    """

    def __init__(self, store: Any, name: str, times: WatchTimes) -> None:
        # A trigger that is equal to another is one for both their assets: each has the state, should the other go.
        each = [*getattr(store, "_by_name", {}).values(), *getattr(store, "_by_uri", {}).values()]
        self._stores = each or [store] * (store is not None)
        self._name = name
        self._times = times
        self._rows: dict[str, Any] = {}
        self._gone: list[str] = []

    @property
    def behind(self) -> bool:
        """Whether the last attempt to store failed."""
        return bool(self._rows)

    async def load(self, since: dt.datetime) -> ProcessedKeys:
        """What was kept, else nothing processed since then, which is kept at once. Waits for as long as it takes."""
        while True:
            try:
                for store in self._stores:
                    if (head := await store.aget(f"{self._name}/head")) is not None:
                        rows = {row: await store.aget(f"{self._name}/{row}", "") for row in ProcessedKeys.rows_of(head)}
                        return ProcessedKeys.from_rows(head, rows)
                processed = ProcessedKeys(since)
                await self._write(*processed.changes())
            except Exception as error:
                log.warning("The watcher's state cannot be had yet: %s: %s", type(error).__name__, error)
                await asyncio.sleep(self._times.store_retry)
            else:
                return processed

    @asynccontextmanager
    async def storing(self, progress: WatchProgress) -> AsyncIterator[None]:
        """Store within seconds what has settled, and at the end of the block what has by then.

        Cancelled with a message, as Airflow does where a watcher is paused or changed, everything has: the triggerer
        lives, and keeps what was firing. One that shuts down gives no message, and may not have kept it yet.
        """
        task = asyncio.create_task(self._store_periodically(progress))
        try:
            yield
        except asyncio.CancelledError as error:
            progress.settle(at_once=bool(error.args))
            raise
        finally:
            task.cancel()
            await asyncio.wait({task})
            progress.settle()
            await self.store(progress.processed)

    async def _store_periodically(self, progress: WatchProgress) -> None:
        while True:
            await asyncio.sleep(self._times.store_retry if self.behind else self._times.store_check)
            if progress.settle() or self.behind:
                await self.store(progress.processed)

    async def store(self, processed: ProcessedKeys) -> None:
        """Keep it; where that fails it is said, and done with the next time."""
        rows, gone = processed.changes()
        self._rows.pop("head", None)
        self._rows |= rows
        self._gone += gone
        try:
            await self._write(self._rows, self._gone)
        except Exception as error:
            log.warning("The watcher's state could not be stored: %s: %s", type(error).__name__, error)
        else:
            self._rows, self._gone = {}, []

    async def _write(self, rows: dict[str, Any], gone: list[str]) -> None:
        for store in self._stores:
            for row, value in rows.items():
                await store.aset(f"{self._name}/{row}", value)
            for row in gone:
                await store.adelete(f"{self._name}/{row}")
