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
from airflow_provider.altcraft.client._errors import AltcraftError, RetriableError
from airflow_provider.altcraft.triggers._polls import Polls

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
    somebody must mend (the token, the connection) by looks at a slow pace, which find it mended.
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
        async with Polls.shared(self._conn_id) as polls:
            while True:
                await self._somebody()
                found = await self._look(polls)
                if isinstance(found, Look):
                    failures = 0
                    yield found
                    await self._pause(self._interval())
                    continue
                failures = min(failures + 1, 16)
                passes = isinstance(found, RetriableError)
                pause = max(self._interval(), min(self._interval() * 2**failures, SLOW) if passes else SLOW)
                log.warning("A look at what people did failed, the next one is in %.0f s: %s", pause, told(found))
                await asyncio.sleep(pause)

    async def _look(self, polls: Polls) -> Look | Exception:
        start = min(want.start for want in self._wants)
        actions = frozenset(action for want in self._wants for action in want.actions)
        at = dt.datetime.now(dt.UTC)
        try:
            found = await polls.use(lambda client: self._people.alook(client, actions, start))
        except Exception as error:  # nobody is there to hear of it, and all watchers would end
            return error
        return found if isinstance(found, AltcraftError) else Look(at, start, actions, found)

    def _interval(self) -> float:
        return min((want.interval for want in self._wants), default=1.0)

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


def told(error: Exception) -> str:
    """What is said of an error: of others' only their names, for their texts may hold what nobody vouches for."""
    known = isinstance(error, AltcraftError | AirflowException | ValueError)
    return f"{type(error).__name__}: {error}" if known else type(error).__name__


_feeds: WeakValueDictionary[Hashable, Feed] = WeakValueDictionary()


def feed_of(key: Hashable, altcraft_conn_id: str, people: People) -> Feed:
    """The feed that all with this key share in the running event loop."""
    place = (id(asyncio.get_running_loop()), key)
    feed = _feeds.get(place)
    if feed is None:
        feed = _feeds[place] = Feed(altcraft_conn_id, people)
    return feed
