"""The client for an event loop: the same calls as ``_client``, each request in a task that outlives its caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Self, TypeVar, Unpack

from tenacity import AsyncRetrying

from airflow_provider.altcraft.client._base import BaseClient, Profile, named
from airflow_provider.altcraft.client._constants import PAGE_LIMIT
from airflow_provider.altcraft.client._core import DATABASE_HISTORY, DATABASES, PROFILES, Call, ClientOptions, Format
from airflow_provider.altcraft.client._days import DaysInTurn
from airflow_provider.altcraft.client._errors import BadRequestError
from airflow_provider.altcraft.client._models import Database, HistoryEvent, ProfileLookup
from airflow_provider.altcraft.client._pace import AdaptivePace
from airflow_provider.altcraft.client._paging import PageWalk
from airflow_provider.altcraft.client.transport._httpx import AsyncHttpxTransport, AsyncTransport, Response
from airflow_provider.altcraft.window import DateLike, Window

T = TypeVar("T")

SMALL = 8_000
"""Bytes of a response below which it is read in the event loop: handing it to a thread would take longer."""


class AsyncAltcraftClient(BaseClient):
    """The same API in an event loop; one client belongs to one loop. Use it in an ``async with`` block, or close it.

    Arguments, results and errors are those of ``AltcraftClient``. Cancelling a call is safe at any moment: a request
    that has left goes on by itself, in its slot, to its end or time-out.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        transport: AsyncTransport | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(base_url, token, options)
        self._pace = AdaptivePace(self.settings.requests_per_second)
        self._slots = asyncio.BoundedSemaphore(self.settings.max_connections)
        self._under_way: set[asyncio.Task[Response]] = set()
        self._transport = transport or self._own_transport()

    def _own_transport(self) -> AsyncTransport:
        return AsyncHttpxTransport(**self._transport_arguments())

    async def get_history(
        self,
        profile: Profile,
        *,
        list_id: int | None = None,
        date_from: DateLike = None,
        date_to: DateLike = None,
        actions: Collection[str] | None = None,
        format: Format = "json",
    ) -> list[HistoryEvent]:
        """As ``AltcraftClient.get_history``."""
        window = Window.of(date_from, date_to)
        call = self.core.history(ProfileLookup.of(profile), list_id, window, format)
        return await self._send(call, partial(self.core.events_within, window, actions))

    async def iter_database_history(
        self,
        *,
        list_id: int | None = None,
        date_from: DateLike,
        date_to: DateLike,
        fields: Sequence[str] = (),
        page_size: int = PAGE_LIMIT,
    ) -> AsyncIterator[HistoryEvent]:
        """As ``AltcraftClient.iter_database_history``."""
        for asked in (days := DaysInTurn(Window.of(date_from, date_to), self.settings.zone)):
            walk = PageWalk[HistoryEvent](DATABASE_HISTORY, "", page_size)
            while not walk.done:
                call = self.core.database_page(list_id, asked, str(walk.cursor), page_size, fields)
                try:
                    page = await self._send(call, self.core.events_of)
                except BadRequestError as error:
                    raise walk.refused(error) from None
                for event in days.kept(asked, walk.take(page)):
                    yield event

    async def iter_profiles(
        self,
        *,
        list_id: int | None = None,
        query: Mapping[str, Any] = MappingProxyType({}),
        fields: Sequence[str] = (),
        page_size: int = PAGE_LIMIT,
    ) -> AsyncIterator[Mapping[str, Any]]:
        """As ``AltcraftClient.iter_profiles``."""
        list_id, walk = self.settings.database(list_id), PageWalk[Mapping[str, Any]](PROFILES, "", page_size)
        while not walk.done:
            call = self.core.profiles(list_id, walk.cursor, page_size, query, fields)
            try:
                page = await self._send(call, self.core.profiles_of)
            except BadRequestError as error:
                raise walk.refused(error) from None
            for profile in walk.take(page):
                yield profile

    async def list_databases(self, *, page_size: int = 100) -> list[Database]:
        """As ``AltcraftClient.list_databases``."""
        walk, found = PageWalk[Database](DATABASES, 0, page_size), list[Database]()
        while not walk.done:
            found += walk.take(await self._send(self.core.databases(walk.cursor, page_size), self.core.databases_of))
        return found

    async def count_databases(self) -> int:
        """As ``AltcraftClient.count_databases``."""
        page = await self._send(self.core.databases(0, 1), self.core.databases_of)
        return len(page.rows) if page.total_count is None else page.total_count

    async def get_database(self, list_id: int | None = None) -> Database:
        """As ``AltcraftClient.get_database``."""
        return await self._send(self.core.database(self.settings.database(list_id)), self.core.database_of)

    async def aclose(self) -> None:
        """End what is under way, each call with a ``FatalError``, and close every connection."""
        self._closed.set()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._transport.aclose()
        self.core.missing.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _send(self, call: Call, read: Callable[[Call, Response], T]) -> T:
        url, headers, body = self.core.request(call)

        async def once() -> T:
            with named(call):
                task, left_at = await self._start(partial(self._transport.send, url, headers, body))
                started = time.monotonic()
                with self._pace.judged(left_at):
                    await asyncio.wait({task})
                    if task.cancelled():  # by `aclose`: our own cancellation would have ended the wait
                        self._check_open()
                    response = task.result()
                    self._log(call, response, started)
                    if len(response.body) < SMALL:
                        return read(call, response)
                    return await asyncio.to_thread(read, call, response)

        return await self._tries(many=self._many)(once)

    def _tries(self, *, many: bool) -> AsyncRetrying:
        settings = self.settings
        return AsyncRetrying(**settings.retry.options(self._pace, settings.outage_timeout, many=many))

    async def _start(self, send: Callable[[], Coroutine[Any, Any, Response]]) -> tuple[asyncio.Task[Response], float]:
        """Send in a task that goes on where the caller is cancelled; return it, and the moment it left.

        HTTP libraries lose connections when they are cancelled. The task holds the slot, so that there are never more
        requests under way than connections.
        """
        # The slot comes before the turn, else turns that passed while waiting for slots would leave all at once.
        await self._slots.acquire()
        try:
            left_at = await self._pace.turn(many=self._many)
            self._check_open()
        except BaseException:
            self._slots.release()
            raise
        task = asyncio.create_task(send())
        self._under_way.add(task)
        task.add_done_callback(self._free)
        return task, left_at

    def _free(self, task: asyncio.Task[Response]) -> None:
        self._under_way.discard(task)
        self._slots.release()
        if not task.cancelled():
            task.exception()  # else asyncio warns of an exception that was never retrieved
