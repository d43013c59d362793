"""What the waits of one event loop share: a client for each connection, and one look for all who ask the same.

A triggerer is one process with one event loop, so this is all that its thousand waits need; it works on each Airflow
line, and for waits, which Airflow's own shared streams are not promised for.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider.altcraft._wait import unreadable
from airflow_provider.altcraft.hooks._connection import async_client
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AltcraftError, AsyncAltcraftClient, HistoryEvent

T = TypeVar("T")

Answer: TypeAlias = "list[HistoryEvent] | AltcraftError"
"""What a look gives. An error is handed out, not raised, as many share it."""

_Heard: TypeAlias = tuple[Answer, frozenset[str]]
"""What a look gave, and which actions it looked for."""

_FRESH: Final = 60.0
"""Seconds after which the Airflow connection is read anew, so that waits of weeks learn of a new token."""

_SHARED: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Polls]] = WeakKeyDictionary()


class Polls:
    """The looks that go through one Airflow connection in one event loop. Use ``Polls.shared``."""

    def __init__(self, altcraft_conn_id: str) -> None:
        self._conn_id = altcraft_conn_id
        self._users = 0
        self._polls: dict[str, _Poll] = {}
        self._reading = asyncio.Lock()
        self._read_at = -math.inf
        self._used: _Used | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def shared(cls, altcraft_conn_id: str) -> AsyncIterator[Polls]:
        """The connection's looks in the running loop; everything is closed when the last user has left."""
        every = _SHARED.setdefault(asyncio.get_running_loop(), {})
        polls = every.get(altcraft_conn_id)
        if polls is None:
            polls = every[altcraft_conn_id] = cls(altcraft_conn_id)
        polls._users += 1
        try:
            yield polls
        finally:
            polls._users -= 1
            if not polls._users:
                # Before anything is awaited: who comes next shall not get what is being closed.
                del every[altcraft_conn_id]
                await polls._close()

    async def look(
        self,
        profile: Mapping[str, Any],
        *,
        list_id: int | None,
        day: dt.date | None,
        actions: frozenset[str],
        pause: float = 0.0,
    ) -> Answer:
        """A profile's events from a day on, at the latest a pause from now: earlier where somebody else asks the same.

        Of a look before its time only what is final counts: events and a ``FatalError``. So another's failures do not
        spend this one's budget.

        Args:
            profile: the request fields of its lookup.
            list_id: the database; the connection's own where ``None``.
            day: the UTC day; ``None`` for from the beginning.
            actions: which events matter. There may be others among those that are given.
            pause: seconds.
        """
        key = json.dumps([profile, list_id, None if day is None else day.isoformat()], sort_keys=True)
        poll = self._polls.get(key)
        if poll is None:
            poll = self._polls[key] = _Poll(self, profile, list_id, day)
        poll.users += 1
        try:
            return await poll.answer(actions, pause)
        finally:
            poll.users -= 1
            if not poll.users:
                del self._polls[key]
                await poll.close()

    async def concurrency(self) -> int:
        """How many requests the connection allows at once; 1 where it cannot be read, as the look will tell."""
        used = await self._current()
        return used.client.settings.max_connections if isinstance(used, _Used) else 1

    async def ask(
        self, profile: Mapping[str, Any], list_id: int | None, day: dt.date | None, actions: frozenset[str]
    ) -> Answer:
        """One look, by the connection as it is now."""
        return await self.use(
            lambda client: client.get_history(profile, list_id=list_id, date_from=day, actions=actions)
        )

    async def use(self, ask: Callable[[AsyncAltcraftClient], Awaitable[T]]) -> T | AltcraftError:
        """What is asked of the client, by the connection as it is now."""
        from airflow_provider.altcraft.client import FatalError

        began = asyncio.get_running_loop().time()
        used = await self._current()
        if not isinstance(used, _Used):
            return used
        answer = await used.ask(ask)
        if isinstance(answer, FatalError):
            # The token may have been changed since it was read.
            newer = await self._current(not_before=began)
            if isinstance(newer, _Used) and newer is not used:
                return await newer.ask(ask)
        return answer

    async def _current(self, not_before: float = -math.inf) -> _Used | AltcraftError:
        """The client, by settings that are fresh and were read no earlier than at that moment of the loop's clock."""
        from airflow_provider.altcraft.client import RequestError

        loop = asyncio.get_running_loop()
        async with self._reading:
            if self._used and self._read_at >= max(not_before, loop.time() - _FRESH):
                return self._used
            now = loop.time()
            try:
                arguments = await AltcraftHook(self._conn_id).aclient_arguments()
                if self._used is None or self._used.arguments != arguments:
                    newer = _Used(await async_client(*arguments), arguments)
                    if self._used:
                        self._retire(self._used)
                    self._used = newer
            except ValueError as error:  # it does not fit: as fatal as a refused request
                return RequestError(str(error))
            except Exception as error:
                return self._used or unreadable(self._conn_id, error)
            self._read_at = now
            return self._used

    def _retire(self, used: _Used) -> None:
        task = asyncio.create_task(used.close_when_idle())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _close(self) -> None:
        if self._used:
            await self._used.client.aclose()
        await asyncio.gather(*self._retiring, return_exceptions=True)


class _Used:
    """A client that is in use, and by what it was made."""

    def __init__(self, client: AsyncAltcraftClient, arguments: object) -> None:
        self.client = client
        self.arguments = arguments
        self._asking = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def ask(self, ask: Callable[[AsyncAltcraftClient], Awaitable[T]]) -> T | AltcraftError:
        from airflow_provider.altcraft.client import AltcraftError, RequestError

        self._asking += 1
        self._idle.clear()
        try:
            return await ask(self.client)
        except AltcraftError as error:
            return error
        except ValueError as error:  # an argument, or the lack of a database
            return RequestError(str(error))
        finally:
            self._asking -= 1
            if not self._asking:
                self._idle.set()

    async def close_when_idle(self) -> None:
        await self._idle.wait()
        await self.client.aclose()


class _Poll:
    """The looks of all who ask the same: one at a time, heard by each of them."""

    def __init__(self, polls: Polls, profile: Mapping[str, Any], list_id: int | None, day: dt.date | None) -> None:
        self.users = 0
        self._polls = polls
        self._asked = (profile, list_id, day)
        self._actions: frozenset[str] = frozenset()
        self._task: asyncio.Task[_Heard] | None = None
        self._next: asyncio.Future[_Heard] = asyncio.get_running_loop().create_future()

    async def answer(self, actions: frozenset[str], pause: float) -> Answer:
        from airflow_provider.altcraft.client import FatalError

        self._actions |= actions
        loop = asyncio.get_running_loop()
        due = loop.time() + pause
        while True:
            landing, left = self._next, due - loop.time()
            if left > 0:
                await asyncio.wait({landing}, timeout=left)
            if is_due := not landing.done():
                if self._task is None:
                    self._task = asyncio.create_task(self._look())
                    self._task.add_done_callback(self._land)
                await asyncio.wait({landing})
            answer, looked_for = landing.result()
            if isinstance(answer, list):
                if actions <= looked_for:  # else it had begun before these were asked for
                    return answer
            elif is_due or isinstance(answer, FatalError):
                return answer

    async def _look(self) -> _Heard:
        actions = self._actions
        return await self._polls.ask(*self._asked, actions), actions

    async def close(self) -> None:
        """End the look that nobody waits for any more."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _land(self, task: asyncio.Task[_Heard]) -> None:
        self._task = None
        landing, self._next = self._next, asyncio.get_running_loop().create_future()
        if task.cancelled():
            landing.cancel()
        elif error := task.exception():  # a bug: each who waits shall see it
            landing.set_exception(error)
            landing.exception()
        else:
            landing.set_result(task.result())
