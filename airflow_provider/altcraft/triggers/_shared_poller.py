"""One poller for all watchers of the same audience; each watcher gets the events that it subscribes to."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncGenerator, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider.altcraft.client._errors import AltcraftError, RetriableError
from airflow_provider.altcraft.triggers._shared_client import SharedClient
from airflow_provider.altcraft.triggers._watch_times import WatchTimes
from airflow_provider.altcraft.waiting.audience import Audience, window_from

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import HistoryEvent

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Subscription:
    """The events that one watcher subscribes to.

    Attributes:
        actions: of the events.
        start: the time of the earliest ones.
        interval: seconds between two polls, at most.
    """

    actions: frozenset[str]
    start: dt.datetime
    interval: float


@dataclass(frozen=True, slots=True)
class Poll:
    """The result of one poll.

    Attributes:
        at: when it began.
        start: the time of the earliest events that it asked for.
        actions: of the events that it asked for.
        events: with their keys, by time.
    """

    at: dt.datetime
    start: dt.datetime
    actions: frozenset[str]
    events: list[tuple[str, HistoryEvent]] = field(repr=False)


class SharedPoller:
    """Polls the events of an audience while there is a subscription.

    It never fails: after a temporary failure its pauses grow; after one that somebody must fix (the token, the
    connection) it polls slowly until it is fixed.
    """

    def __init__(self, altcraft_conn_id: str, audience: Audience, times: WatchTimes) -> None:
        self._conn_id = altcraft_conn_id
        self._audience = audience
        self._times = times
        self._subscriptions: set[Subscription] = set()
        self._changed = asyncio.Event()

    @contextmanager
    def subscribed(self, subscription: Subscription) -> Iterator[None]:
        """Poll for this subscription within the block, which may change it."""
        self._subscriptions.add(subscription)
        self._changed.set()
        try:
            yield
        finally:
            self._subscriptions.discard(subscription)

    async def polls(self) -> AsyncGenerator[Poll]:
        """Poll, forever. Only one may iterate."""
        failures = 0
        async with SharedClient.acquire(self._conn_id) as shared:
            while True:
                await self._wait_for_subscription()
                found = await self._poll(shared)
                if isinstance(found, Poll):
                    failures = 0
                    yield found
                    await self._pause(self._interval())
                    continue
                failures = min(failures + 1, 16)
                passes = isinstance(found, RetriableError)
                slow = self._times.slow
                pause = max(self._interval(), min(self._interval() * 2**failures, slow) if passes else slow)
                log.warning("A watcher's poll failed, the next one is in %.0f s: %s", pause, message_of(found))
                await asyncio.sleep(pause)

    async def _poll(self, shared: SharedClient) -> Poll | Exception:
        start = min(subscription.start for subscription in self._subscriptions)
        actions = frozenset(action for subscription in self._subscriptions for action in subscription.actions)
        at = dt.datetime.now(dt.UTC)
        try:
            found = await shared.call(lambda client: self._audience.poll(client.lasting(), actions, window_from(start)))
        except Exception as error:  # raised, it would end all watchers
            return error
        return found if isinstance(found, AltcraftError) else Poll(at, start, actions, found)

    def _interval(self) -> float:
        return min((subscription.interval for subscription in self._subscriptions), default=1.0)

    async def _wait_for_subscription(self) -> None:
        while not self._subscriptions:
            self._changed.clear()
            await self._changed.wait()
            await asyncio.sleep(self._times.gather)
        self._changed.clear()

    async def _pause(self, seconds: float) -> None:
        """Wait until the next poll is due or a new watcher subscribes."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return
        await asyncio.sleep(min(self._times.gather, seconds))


def message_of(error: Exception) -> str:
    """Return an error for the log; of a foreign error only its class, as its text may hold a secret."""
    known = isinstance(error, AltcraftError | AirflowException | ValueError)
    return f"{type(error).__name__}: {error}" if known else type(error).__name__


_pollers: WeakValueDictionary[Hashable, SharedPoller] = WeakValueDictionary()


def poller_of(key: Hashable, altcraft_conn_id: str, audience: Audience, times: WatchTimes) -> SharedPoller:
    """Return the poller of this key in the running event loop."""
    place = (id(asyncio.get_running_loop()), key)
    poller = _pollers.get(place)
    if poller is None:
        poller = _pollers[place] = SharedPoller(altcraft_conn_id, audience, times)
    return poller
