"""One poll for all watchers of the same people: what they want is put together, what is found is handed to each."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncGenerator, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider.altcraft._watch import People
from airflow_provider.altcraft.client._errors import AltcraftError, FatalError
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import HistoryEvent

log = logging.getLogger(__name__)

SLOW: Final = 300.0
"""Seconds between looks, at least, while looking cannot work; and the longest pause after failures that may pass."""

_TOGETHER: Final = 0.5
"""Seconds for more watchers to come before the first look, as all do when a triggerer starts."""


@dataclass(slots=True, eq=False)
class Want:
    """What one watcher wants.

    Attributes:
        actions: which events.
        start: from when on, by the events' time.
        interval: seconds between two looks, at most.
    """

    actions: frozenset[str]
    start: dt.datetime
    interval: float


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found.

    Attributes:
        at: when it began.
        start: from when on events were asked for.
        actions: which.
        events: with their keys, by time.
    """

    at: dt.datetime
    start: dt.datetime
    actions: frozenset[str]
    events: list[tuple[str, HistoryEvent]] = field(repr=False)


class Feed:
    """Looks now and then at what people did, as long as anybody wants to know.

    It lives as long as the process and never fails: a failure that may pass is followed by ever longer pauses, one that
    somebody must mend (the token, the connection) by looks at a slow pace, each with the connection read anew.
    """

    def __init__(self, altcraft_conn_id: str, people: People) -> None:
        self._conn_id = altcraft_conn_id
        self._people = people
        self._wants: set[Want] = set()
        self._news = asyncio.Event()

    @contextmanager
    def wanting(self, want: Want) -> Iterator[None]:
        """Look for this, too, from now on and within the block; it may be changed meanwhile."""
        self._wants.add(want)
        self._news.set()
        try:
            yield
        finally:
            self._wants.discard(want)

    async def looks(self) -> AsyncGenerator[Look]:
        """Look, forever. Only one may iterate."""
        failures = 0
        while True:
            try:
                async with await AltcraftHook(self._conn_id).aget_conn() as client:
                    while True:
                        await self._somebody()
                        wants = list(self._wants)
                        start, actions = (
                            min(want.start for want in wants),
                            frozenset[str]().union(*(want.actions for want in wants)),
                        )
                        at = dt.datetime.now(dt.UTC)
                        look = Look(at, start, actions, await self._people.alook(client, actions, start))
                        failures = 0
                        yield look
                        await self._pause(min((want.interval for want in self._wants), default=0))
            except AltcraftError as error:
                failures += 1
                pause = SLOW if isinstance(error, FatalError) else min(self._interval() * 2 ** min(failures, 16), SLOW)
                self._tell(error, pause)
            except Exception as error:  # a missing connection, or Airflow's own API: nobody is there to hear of it
                pause = SLOW
                self._tell(error, pause)
            await asyncio.sleep(max(pause, self._interval()))

    def _interval(self) -> float:
        return min((want.interval for want in self._wants), default=1.0)

    def _tell(self, error: Exception, pause: float) -> None:
        # What others' errors say is not ours to vouch for: a connection's might hold what it cannot read.
        known = isinstance(error, AltcraftError | AirflowException | ValueError)
        told = f"{type(error).__name__}: {error}" if known else type(error).__name__
        log.warning("A look at what people did failed, the next one is in %.0f s: %s", pause, told)

    async def _somebody(self) -> None:
        while not self._wants:
            self._news.clear()
            await self._news.wait()
            await asyncio.sleep(_TOGETHER)
        self._news.clear()

    async def _pause(self, seconds: float) -> None:
        """Until the next look is due, or a watcher has come that was not looked for."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return
        await asyncio.sleep(min(_TOGETHER, seconds))


_feeds: WeakValueDictionary[Hashable, Feed] = WeakValueDictionary()


def feed_of(key: Hashable, altcraft_conn_id: str, people: People) -> Feed:
    """The feed that all with this key share in the running event loop."""
    place = (id(asyncio.get_running_loop()), key)
    feed = _feeds.get(place)
    if feed is None:
        feed = _feeds[place] = Feed(altcraft_conn_id, people)
    return feed
