"""The state of a watcher: the events that it has fired for, kept in the asset's state store across restarts."""

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
    """Events that one trigger event was fired for, when, and up to which time all events were polled (if known)."""

    at: float
    watermark: dt.datetime | None
    events: dict[str, dt.datetime]


class WatchProgress:
    """Finds the events that were not fired for yet.

    Events that were fired for are added to ``processed`` a while later, once Airflow has kept the trigger event: a
    stored state never contains an event that Airflow has lost. ``zone`` is that of the days of the lookback.
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
        """The time of the earliest events to poll."""
        watermarks = [firing.watermark for firing in self._firings if firing.watermark is not None]
        return self._horizon(max([self.processed.watermark, *watermarks]))

    def new_events(self, poll: Poll, actions: Collection[str]) -> list[tuple[str, HistoryEvent]]:
        """Return the events of a poll that were not fired for yet, by time."""
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
        """Note that these events are fired for now, and that all events up to the watermark were polled."""
        self._firings.append(_Firing(time.monotonic(), watermark, {key: event.datetime for key, event in events}))

    def settle(self, *, at_once: bool = False) -> bool:
        """Move settled firings, or all, into ``processed``; return whether it should be stored now."""
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
        store: Airflow's accessors; with ``None`` nothing is kept.
        name: prefix of the rows' names.
        times: of checks and retries.
    """

    def __init__(self, store: Any, name: str, times: WatchTimes) -> None:
        # Equal triggers of two assets are one trigger: each asset keeps the state, as the other may be removed.
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
        """Return the stored keys, else store an empty set from ``since`` on. Retries until it succeeds."""
        while True:
            try:
                heads = [(await store.aget(f"{self._name}/head"), store) for store in self._stores]
                if found := [(head, store) for head, store in heads if head is not None]:
                    # An asset that was taken away for a time has the state of then.
                    head, store = max(found, key=lambda each: dt.datetime.fromisoformat(each[0]["watermark"]))
                    rows = {row: await store.aget(f"{self._name}/{row}", "") for row in ProcessedKeys.rows_of(head)}
                    processed = ProcessedKeys.from_rows(head, rows)
                    if len(self._stores) > 1:  # an asset that was added since has none of the rows
                        processed.renew_rows()
                    return processed
                processed = ProcessedKeys(since)
                await self._write(*processed.changes())
            except Exception as error:
                log.warning("The watcher's state cannot be read yet: %s: %s", type(error).__name__, error)
                await asyncio.sleep(self._times.store_retry)
            else:
                return processed

    @asynccontextmanager
    async def storing(self, progress: WatchProgress) -> AsyncIterator[None]:
        """Store settled firings within seconds, and once more at the end of the block.

        A cancellation with a message means that the watcher was paused or changed: the triggerer lives and keeps what
        was fired, so all firings are settled. A triggerer that shuts down gives no message, and may not have kept them.
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
        """Store the changes; where that fails, log it and store them with the next ones."""
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
