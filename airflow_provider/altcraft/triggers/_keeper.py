"""How far a watcher is: what it has fired for, and how that outlives the triggerer in the asset's state store."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider.altcraft._seen import SeenKeys

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import HistoryEvent
    from airflow_provider.altcraft.triggers._feed import Look

log = logging.getLogger(__name__)

SETTLED: Final = 5.0
"""Seconds after which Airflow has kept what a trigger fired: the triggerer collects that each second or so."""

STORE_EVERY: Final = 60.0
"""Seconds after which the watermark is stored though nothing happened."""

_TRY_AGAIN: Final = 10.0
"""Seconds between tries to read the state while Airflow's API does not give it."""


@dataclass(frozen=True, slots=True)
class _Fired:
    """What one look was fired for: when it was, up to when all was looked at, and which events."""

    at: float
    watermark: dt.datetime
    events: dict[str, dt.datetime]


class Progress:
    """Tells new events from those that were fired for.

    What was fired for goes into ``seen`` a while later, when Airflow surely has it: what is stored never says of an
    event that it was fired for before it is so.
    """

    def __init__(self, seen: SeenKeys, lookback: dt.timedelta) -> None:
        self.seen = seen
        self._lookback = lookback
        self._fired: deque[_Fired] = deque()
        self._stored = time.monotonic()

    @property
    def start(self) -> dt.datetime:
        """From when on events are to be looked at."""
        return self._horizon(self._fired[-1].watermark if self._fired else self.seen.watermark)

    def news(self, look: Look, actions: Collection[str]) -> list[tuple[str, HistoryEvent]]:
        """The look's events that nothing was fired for, which is done now; by time."""
        start = self.start
        new = [
            (key, event)
            for key, event in look.events
            if event.action in actions
            and event.datetime >= start
            and key not in self.seen
            and not any(key in fired.events for fired in self._fired)
        ]
        self._fired.append(_Fired(time.monotonic(), look.at, {key: event.datetime for key, event in new}))
        return new

    def settle(self) -> bool:
        """Move what has settled into ``seen``; whether that should be stored now."""
        now, news = time.monotonic(), False
        while self._fired and now - self._fired[0].at >= SETTLED:
            fired = self._fired.popleft()
            self.seen.add(fired.events.items())
            self.seen.watermark = max(self.seen.watermark, fired.watermark)
            news = news or bool(fired.events)
        self.seen.forget(self._horizon(self.seen.watermark))
        if not news and now - self._stored < STORE_EVERY:
            return False
        self._stored = now
        return True

    def _horizon(self, watermark: dt.datetime) -> dt.datetime:
        return max(self.seen.since, watermark - self._lookback)


class Keeper:
    """Keeps ``SeenKeys`` in the state stores of the assets that a trigger watches for (Airflow 3.3).

    Args:
        store: Airflow's accessors; ``None`` where there are none, so that nothing is kept.
        name: what the rows' names begin with.
    """

    def __init__(self, store: Any, name: str) -> None:
        # A trigger that is equal to another is one for both their assets: each has the state, should the other go.
        each = [*getattr(store, "_by_name", {}).values(), *getattr(store, "_by_uri", {}).values()]
        self._stores = each or [store] * (store is not None)
        self._name = name
        self._rows: dict[str, Any] = {}
        self._gone: list[str] = []

    @property
    def behind(self) -> bool:
        """Whether the last attempt to store failed."""
        return bool(self._rows)

    async def restored(self, since: dt.datetime) -> SeenKeys:
        """What was kept, else nothing seen since then, which is kept at once. Waits for as long as it takes."""
        while True:
            try:
                for store in self._stores:
                    if (head := await store.aget(f"{self._name}/head")) is not None:
                        rows = {row: await store.aget(f"{self._name}/{row}", "") for row in SeenKeys.rows_of(head)}
                        return SeenKeys.restored(head, rows)
                seen = SeenKeys(since)
                await self._write(*seen.changes())
            except Exception as error:
                log.warning("The watcher's state cannot be had yet: %s: %s", type(error).__name__, error)
                await asyncio.sleep(_TRY_AGAIN)
            else:
                return seen

    async def store(self, seen: SeenKeys) -> None:
        """Keep it; where that fails it is said, and done with the next time."""
        rows, gone = seen.changes()
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
