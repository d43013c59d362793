"""Clients shared by all waits of an event loop: one for each connection, with one request for equal polls.

A triggerer is one process with one event loop, so its thousands of waits share these. Unlike Airflow 3.3's own shared
streams, this works on each Airflow line, and for waits.
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

from airflow_provider.altcraft.hooks._connection import async_client
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.waiting.state import unreadable

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AltcraftError, AsyncAltcraftClient, HistoryEvent

T = TypeVar("T")

PollResult: TypeAlias = "list[HistoryEvent] | AltcraftError"
"""The events, or an error; it is returned rather than raised, as several waits share it."""

_SharedResult: TypeAlias = tuple[PollResult, frozenset[str]]
"""The result of a poll, and its actions."""

_REREAD_AFTER: Final = 60.0
"""Seconds after which the Airflow connection is read again, so that long waits use a new token."""

_SHARED: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedClient]] = WeakKeyDictionary()


class SharedClient:
    """The client of one Airflow connection in one event loop: equal polls share a request. Use ``acquire``."""

    def __init__(self, altcraft_conn_id: str) -> None:
        self._conn_id = altcraft_conn_id
        self._users = 0
        self._coalesced: dict[str, _CoalescedPoll] = {}
        self._reading = asyncio.Lock()
        self._read_at = -math.inf
        self._open: _OpenClient | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def acquire(cls, altcraft_conn_id: str) -> AsyncIterator[SharedClient]:
        """The connection's client in the running loop; it is closed when its last user has left."""
        every = _SHARED.setdefault(asyncio.get_running_loop(), {})
        shared = every.get(altcraft_conn_id)
        if shared is None:
            shared = every[altcraft_conn_id] = cls(altcraft_conn_id)
        shared._users += 1
        try:
            yield shared
        finally:
            shared._users -= 1
            if not shared._users:
                # Before anything is awaited, so that the next user does not get a client that is being closed.
                del every[altcraft_conn_id]
                await shared._close()

    async def poll(
        self,
        profile: Mapping[str, Any],
        *,
        list_id: int | None,
        day: dt.date | None,
        actions: frozenset[str],
        pause: float = 0.0,
    ) -> PollResult:
        """Return a profile's events from a day on, after a pause, or earlier where another wait polls the same.

        Of an earlier poll only events and a ``FatalError`` are returned, so that another wait's failures do not spend
        this one's budget.

        Args:
            profile: the request fields of its lookup.
            list_id: the database; the connection's own where ``None``.
            day: the UTC day; ``None`` for from the beginning.
            actions: of interest; events of other actions may be returned too.
            pause: seconds to wait for another wait's poll.
        """
        key = json.dumps([profile, list_id, None if day is None else day.isoformat()], sort_keys=True)
        poll = self._coalesced.get(key)
        if poll is None:
            poll = self._coalesced[key] = _CoalescedPoll(self, profile, list_id, day)
        poll.users += 1
        try:
            return await poll.result(actions, pause)
        finally:
            poll.users -= 1
            if not poll.users:
                del self._coalesced[key]
                await poll.close()

    async def concurrency(self) -> int:
        """Return the requests that the connection allows at once; 1 where it cannot be read, which the poll reports."""
        current = await self._current()
        return current.client.settings.max_connections if isinstance(current, _OpenClient) else 1

    async def get_history(
        self, profile: Mapping[str, Any], list_id: int | None, day: dt.date | None, actions: frozenset[str]
    ) -> PollResult:
        """Return the events, by the connection as it is now."""
        return await self.call(
            lambda client: client.get_history(profile, list_id=list_id, date_from=day, actions=actions)
        )

    async def call(self, ask: Callable[[AsyncAltcraftClient], Awaitable[T]]) -> T | AltcraftError:
        """Make a call by the connection as it is now."""
        from airflow_provider.altcraft.client import FatalError

        began = asyncio.get_running_loop().time()
        current = await self._current()
        if not isinstance(current, _OpenClient):
            return current
        result = await current.call(ask)
        if isinstance(result, FatalError):
            # The token may have been changed since it was read.
            newer = await self._current(not_before=began)
            if isinstance(newer, _OpenClient) and newer is not current:
                return await newer.call(ask)
        return result

    async def _current(self, not_before: float = -math.inf) -> _OpenClient | AltcraftError:
        """Return the client of fresh settings, read no earlier than at that moment of the loop's clock."""
        from airflow_provider.altcraft.client import BadRequestError

        loop = asyncio.get_running_loop()
        async with self._reading:
            if self._open and self._read_at >= max(not_before, loop.time() - _REREAD_AFTER):
                return self._open
            now = loop.time()
            try:
                arguments = await AltcraftHook(self._conn_id).aclient_arguments()
                if self._open is None or self._open.arguments != arguments:
                    newer = _OpenClient(await async_client(*arguments), arguments)
                    if self._open:
                        self._retire(self._open)
                    self._open = newer
            except ValueError as error:  # the connection does not fit: as fatal as a refused request
                return BadRequestError(str(error))
            except Exception as error:
                return self._open or unreadable(self._conn_id, error)
            self._read_at = now
            return self._open

    def _retire(self, current: _OpenClient) -> None:
        task = asyncio.create_task(current.close_when_idle())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _close(self) -> None:
        if self._open:
            await self._open.client.aclose()
        await asyncio.gather(*self._retiring, return_exceptions=True)


class _OpenClient:
    """A client in use, with the arguments that it was made of."""

    def __init__(self, client: AsyncAltcraftClient, arguments: object) -> None:
        self.client = client
        self.arguments = arguments
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def call(self, ask: Callable[[AsyncAltcraftClient], Awaitable[T]]) -> T | AltcraftError:
        from airflow_provider.altcraft.client import AltcraftError, BadRequestError

        self._calls += 1
        self._idle.clear()
        try:
            return await ask(self.client)
        except AltcraftError as error:
            return error
        except ValueError as error:  # an argument, or the lack of a database
            return BadRequestError(str(error))
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def close_when_idle(self) -> None:
        await self._idle.wait()
        await self.client.aclose()


class _CoalescedPoll:
    """Equal polls of several waits: one request at a time, whose result all of them get."""

    def __init__(
        self, client: SharedClient, profile: Mapping[str, Any], list_id: int | None, day: dt.date | None
    ) -> None:
        self.users = 0
        self._client = client
        self._asked = (profile, list_id, day)
        self._actions: frozenset[str] = frozenset()
        self._task: asyncio.Task[_SharedResult] | None = None
        self._next: asyncio.Future[_SharedResult] = asyncio.get_running_loop().create_future()

    async def result(self, actions: frozenset[str], pause: float) -> PollResult:
        from airflow_provider.altcraft.client import FatalError

        self._actions |= actions
        loop = asyncio.get_running_loop()
        due = loop.time() + pause
        while True:
            running, left = self._next, due - loop.time()
            if left > 0:
                await asyncio.wait({running}, timeout=left)
            if is_due := not running.done():
                if self._task is None:
                    self._task = asyncio.create_task(self._poll())
                    self._task.add_done_callback(self._finish)
                await asyncio.wait({running})
            result, polled_for = running.result()
            if isinstance(result, list):
                if actions <= polled_for:  # else it had begun before these were asked for
                    return result
            elif is_due or isinstance(result, FatalError):
                return result

    async def _poll(self) -> _SharedResult:
        actions = self._actions
        return await self._client.get_history(*self._asked, actions), actions

    async def close(self) -> None:
        """Cancel the poll, which nobody waits for any more."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _finish(self, task: asyncio.Task[_SharedResult]) -> None:
        self._task = None
        running, self._next = self._next, asyncio.get_running_loop().create_future()
        if task.cancelled():
            running.cancel()
        elif error := task.exception():  # a bug, which each waiting poll raises
            running.set_exception(error)
            running.exception()
        else:
            running.set_result(task.result())
