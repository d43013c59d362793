"""The two clients: thin shells that send what the core builds, at the settings' pace, and retry what may help."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, Unpack

from tenacity import AsyncRetrying, Retrying

from airflow_provider.altcraft.client._constants import PAGE_LIMIT
from airflow_provider.altcraft.client._core import (
    DATABASE_HISTORY,
    DATABASES,
    Call,
    ClientOptions,
    Core,
    Format,
    Settings,
)
from airflow_provider.altcraft.client._errors import AltcraftError, FatalError
from airflow_provider.altcraft.client._models import Database, HistoryEvent, ProfileLookup
from airflow_provider.altcraft.client._paging import PageWalk
from airflow_provider.altcraft.client._retry import Pace
from airflow_provider.altcraft.client._transport import (
    Answer,
    AsyncHttpxTransport,
    AsyncTransport,
    HttpxTransport,
    Transport,
)
from airflow_provider.altcraft.window import DateLike, Window

log = logging.getLogger(__name__)

T = TypeVar("T")

SMALL = 8_000
"""Bytes of an answer that is read sooner than it is handed to another thread, so as not to hold up the event loop."""

Profile: TypeAlias = ProfileLookup | Mapping[str, object] | str


@contextmanager
def named(call: Call) -> Iterator[None]:
    """Errors that leave here say which method they come from, and hold nothing of the request."""
    try:
        yield
    except AltcraftError as error:
        error.method = call.method
        error.__context__ = None  # a library's error holds the request, and with it the token
        raise


class _Shell:
    """What both clients share: the core, the pace, whether they are closed, and what is said of each call at DEBUG."""

    def __init__(self, base_url: str, token: str, options: ClientOptions) -> None:
        self.settings = Settings(base_url, token, **options)
        self.core = Core(self.settings)
        self._pace = Pace(self.settings.requests_per_second)
        self._closed = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.base_url!r})"

    def _check_open(self) -> None:
        if self._closed:
            raise FatalError("the client is closed")

    @staticmethod
    def _log(call: Call, answer: Answer, started: float) -> None:
        seconds = time.monotonic() - started
        log.debug("%s: HTTP %d, %d bytes, %.3f s", call.method, answer.status, len(answer.body), seconds)


class AltcraftClient(_Shell):
    """The platform's API, call by call. Safe to share between threads; close it, or use it in a ``with`` block.

    Example:
        >>> with AltcraftClient("https://example.com", token, list_id=20) as client:
        ...     events = client.get_history("ann@example.com", date_from="2026-01-01")

    Args:
        base_url: address of the installation.
        token: the API token.
        transport: what sends the requests, instead of httpx.
        options: the other fields of ``Settings``.

    Raises:
        ValueError: an argument that cannot work.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        transport: Transport | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(base_url, token, options)
        settings = self.settings
        self._slots = threading.BoundedSemaphore(settings.max_connections)
        self._turn = threading.Lock()
        self._transport = transport or HttpxTransport(
            timeout=settings.timeout,
            max_connections=settings.max_connections,
            verify=settings.ssl_context(),
            proxy=settings.proxy,
        )

    def get_history(
        self,
        profile: Profile,
        *,
        list_id: int | None = None,
        date_from: DateLike = None,
        date_to: DateLike = None,
        actions: Collection[str] | None = None,
        format: Format = "json",
    ) -> list[HistoryEvent]:
        """One profile's events within the window, oldest first.

        Args:
            profile: a lookup, a mapping of its fields, or an e-mail.
            list_id: the database; the client's own where ``None``.
            date_from: a date (from its first instant in UTC) or an aware date-time; ``None`` for no bound.
            date_to: a date (to its last instant in UTC) or an aware date-time, itself excluded; ``None`` for no bound.
            actions: only events of these are read and given; the platform sends all. ``None`` for all.
            format: what the platform is asked to answer in; both give the same events.

        Raises:
            ValueError: an argument that does not fit, before any request.
            AltcraftError: see ``client._errors`` for the tree.
        """
        window = Window.of(date_from, date_to)
        call = self.core.history(ProfileLookup.of(profile), list_id, window, format)
        return self._send(call, partial(self.core.events_within, window, actions))

    def iter_database_history(
        self,
        *,
        list_id: int | None = None,
        date_from: DateLike,
        date_to: DateLike,
        fields: Sequence[str] = (),
        limit: int = PAGE_LIMIT,
    ) -> Iterator[HistoryEvent]:
        """All events of a database within the window, page by page, in the platform's order.

        Args:
            list_id: the database; the client's own where ``None``.
            date_from: as in ``get_history``, but required.
            date_to: as in ``get_history``, but required.
            fields: profile fields to add to each event, as an object ``fields``.
            limit: rows a page.

        Raises:
            ValueError: an argument that does not fit, before any request.
            AltcraftError: see ``client._errors`` for the tree.
        """
        window = Window.of(date_from, date_to)
        walk = PageWalk[HistoryEvent](DATABASE_HISTORY, "", limit)
        while not walk.done:
            call = self.core.database_page(list_id, window, str(walk.cursor), limit, fields)
            page = self._send(call, self.core.events_of)
            yield from (event for event in walk.take(page) if event.datetime in window)

    def list_databases(self, *, limit: int = 100) -> list[Database]:
        """The databases that the token may see."""
        walk, found = PageWalk[Database](DATABASES, 0, limit), list[Database]()
        while not walk.done:
            found += walk.take(self._send(self.core.databases(walk.cursor, limit), self.core.databases_of))
        return found

    def count_databases(self) -> int:
        """How many databases the token may see: the cheapest call that wants a valid token."""
        page = self._send(self.core.databases(0, 1), self.core.databases_of)
        return len(page.rows) if page.total_count is None else page.total_count

    def get_database(self, list_id: int | None = None) -> Database:
        """One database; the client's own where ``list_id`` is ``None``."""
        return self._send(self.core.database(self.settings.database(list_id)), self.core.database_of)

    def close(self) -> None:
        """Close every connection. What is under way in other threads may last until its time-out."""
        self._closed = True
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: Call, read: Callable[[Call, Answer], T]) -> T:
        url, headers, body = self.core.request(call)

        def once() -> T:
            # The slot comes before the turn, else turns that passed while waiting for slots would leave all at once.
            with named(call), self._slots:
                with self._turn:
                    time.sleep(self._pace.wait())
                    self._pace.leave()
                self._check_open()
                started = time.monotonic()
                answer = self._transport.send(url, headers, body)
                self._log(call, answer, started)
                return read(call, answer)

        return Retrying(**self.settings.retry.options())(once)


class AsyncAltcraftClient(_Shell):
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
        self._slots = asyncio.BoundedSemaphore(self.settings.max_connections)
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Task[Answer]] = set()
        self._transport = transport or self._own_transport()

    def _own_transport(self) -> AsyncTransport:
        settings = self.settings
        return AsyncHttpxTransport(
            timeout=settings.timeout,
            max_connections=settings.max_connections,
            verify=settings.ssl_context(),
            proxy=settings.proxy,
        )

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
        limit: int = PAGE_LIMIT,
    ) -> AsyncIterator[HistoryEvent]:
        """As ``AltcraftClient.iter_database_history``."""
        window = Window.of(date_from, date_to)
        walk = PageWalk[HistoryEvent](DATABASE_HISTORY, "", limit)
        while not walk.done:
            call = self.core.database_page(list_id, window, str(walk.cursor), limit, fields)
            page = await self._send(call, self.core.events_of)
            for event in walk.take(page):
                if event.datetime in window:
                    yield event

    async def list_databases(self, *, limit: int = 100) -> list[Database]:
        """As ``AltcraftClient.list_databases``."""
        walk, found = PageWalk[Database](DATABASES, 0, limit), list[Database]()
        while not walk.done:
            found += walk.take(await self._send(self.core.databases(walk.cursor, limit), self.core.databases_of))
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
        self._closed = True
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, call: Call, read: Callable[[Call, Answer], T]) -> T:
        url, headers, body = self.core.request(call)

        async def once() -> T:
            with named(call):
                task = await self._start(partial(self._transport.send, url, headers, body))
                started = time.monotonic()
                await asyncio.wait({task})
                if task.cancelled():  # by `aclose`: our own cancellation would have ended the wait
                    self._check_open()
                answer = task.result()
                self._log(call, answer, started)
                if len(answer.body) < SMALL:
                    return read(call, answer)
                return await asyncio.to_thread(read, call, answer)

        return await AsyncRetrying(**self.settings.retry.options())(once)

    async def _start(self, send: Callable[[], Coroutine[Any, Any, Answer]]) -> asyncio.Task[Answer]:
        """Send in a task of its own, which a cancelled caller leaves to end by itself.

        HTTP libraries lose connections when they are cancelled. The task holds the slot, so that there are never more
        requests under way than connections.
        """
        # The slot comes before the turn, else turns that passed while waiting for slots would leave all at once.
        await self._slots.acquire()
        try:
            async with self._turn:
                await asyncio.sleep(self._pace.wait())
                self._pace.leave()
            self._check_open()
        except BaseException:
            self._slots.release()
            raise
        task = asyncio.create_task(send())
        self._under_way.add(task)
        task.add_done_callback(self._free)
        return task

    def _free(self, task: asyncio.Task[Answer]) -> None:
        self._under_way.discard(task)
        self._slots.release()
        if not task.cancelled():
            task.exception()  # nobody may be left to hear it, and asyncio warns of exceptions never retrieved
