"""The two clients: thin shells that send what the core builds, at the settings' pace, and retry what may help."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeAlias, TypeVar, Unpack

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
    events_of,
    in_window,
)
from airflow_provider.altcraft.client._errors import AltcraftError
from airflow_provider.altcraft.client._models import Database, HistoryEvent, Page, ProfileLookup
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

Profile: TypeAlias = ProfileLookup | Mapping[str, object] | str


@contextmanager
def _named(call: Call) -> Iterator[None]:
    """Errors that leave here say which method they come from."""
    try:
        yield
    except AltcraftError as error:
        error.method = call.method
        raise


def _database_walk() -> PageWalk:
    """A cursor looks like ``<xxh>.<time>``: it cannot tell apart rows that share both."""
    return PageWalk(DATABASE_HISTORY, "", lambda row: (row.get("xxh"), row.get("datetime")))


class _Shell:
    """What both clients share: the core, the pace, and what is said of each call at DEBUG."""

    def __init__(self, base_url: str, token: str, options: ClientOptions) -> None:
        self.settings = Settings(base_url, token, **options)
        self._core = Core(self.settings)
        self._pace = Pace(self.settings.requests_per_second)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.base_url!r})"

    @staticmethod
    def _ended(call: Call, answer: Answer, started: float) -> None:
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
        self._transport = transport or HttpxTransport(
            timeout=settings.timeout, max_connections=settings.max_connections, verify=settings.ssl_context()
        )

    def get_history(
        self,
        profile: Profile,
        *,
        list_id: int | None = None,
        date_from: DateLike = None,
        date_to: DateLike = None,
        format: Format = "json",
    ) -> list[HistoryEvent]:
        """One profile's events within the window, oldest first.

        Args:
            profile: a lookup, a mapping of its fields, or an e-mail.
            list_id: the database; the client's own where ``None``.
            date_from: a date (from its first instant in UTC) or an aware date-time; ``None`` for no bound.
            date_to: a date (to its last instant in UTC) or an aware date-time, itself excluded; ``None`` for no bound.
            format: what the platform is asked to answer in; both give the same events.

        Raises:
            ValueError: an argument that does not fit, before any request.
            AltcraftError: see ``client._errors`` for the tree.
        """
        window = Window.of(date_from, date_to)
        call = self._core.history(ProfileLookup.of(profile), list_id, window, format)
        return in_window(self._send(call, self._core.history_of), window)

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
        walk = _database_walk()
        while not walk.done:
            page = self._send(
                self._core.database_page(list_id, window, str(walk.cursor), limit, fields), self._core.page_of
            )
            yield from (event for event in events_of(walk.take(page)) if event.datetime in window)

    def list_databases(self, *, limit: int = 100) -> list[Database]:
        """The databases that the token may see."""
        walk, found = PageWalk(DATABASES, 0, repr), list[Database]()
        while not walk.done:
            page = self._send(self._core.databases(walk.cursor, limit), self._core.page_of)
            found += self._core.databases_of(Page(walk.take(page)))
        return found

    def count_databases(self) -> int:
        """How many databases the token may see: the cheapest call that wants a valid token."""
        page = self._send(self._core.databases(0, 1), self._core.page_of)
        return len(page.rows) if page.total_count is None else page.total_count

    def get_database(self, list_id: int | None = None) -> Database:
        """One database; the client's own where ``list_id`` is ``None``."""
        return self._send(self._core.database(self.settings.database(list_id)), self._core.database_of)

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: Call, read: Callable[[Call, Answer], T]) -> T:
        url, headers, body = self._core.request(call)

        def once() -> T:
            time.sleep(self._pace.reserve())
            with self._slots, _named(call):
                started = time.monotonic()
                answer = self._transport.send(url, headers, body)
                self._ended(call, answer, started)
                return read(call, answer)

        return Retrying(**self.settings.retry.options())(once)


class AsyncAltcraftClient(_Shell):
    """The same API in an event loop; one client belongs to one loop. Use it in an ``async with`` block, or close it.

    Arguments, results and errors are those of ``AltcraftClient``. Cancelling a call is safe at any moment.
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
        settings = self.settings
        self._slots = asyncio.BoundedSemaphore(settings.max_connections)
        self._transport = transport or AsyncHttpxTransport(
            timeout=settings.timeout, max_connections=settings.max_connections, verify=settings.ssl_context()
        )

    async def get_history(
        self,
        profile: Profile,
        *,
        list_id: int | None = None,
        date_from: DateLike = None,
        date_to: DateLike = None,
        format: Format = "json",
    ) -> list[HistoryEvent]:
        """As ``AltcraftClient.get_history``."""
        window = Window.of(date_from, date_to)
        call = self._core.history(ProfileLookup.of(profile), list_id, window, format)
        return in_window(await self._send(call, self._core.history_of), window)

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
        walk = _database_walk()
        while not walk.done:
            call = self._core.database_page(list_id, window, str(walk.cursor), limit, fields)
            page = await self._send(call, self._core.page_of)
            for event in events_of(walk.take(page)):
                if event.datetime in window:
                    yield event

    async def list_databases(self, *, limit: int = 100) -> list[Database]:
        """As ``AltcraftClient.list_databases``."""
        walk, found = PageWalk(DATABASES, 0, repr), list[Database]()
        while not walk.done:
            page = await self._send(self._core.databases(walk.cursor, limit), self._core.page_of)
            found += self._core.databases_of(Page(walk.take(page)))
        return found

    async def count_databases(self) -> int:
        """As ``AltcraftClient.count_databases``."""
        page = await self._send(self._core.databases(0, 1), self._core.page_of)
        return len(page.rows) if page.total_count is None else page.total_count

    async def get_database(self, list_id: int | None = None) -> Database:
        """As ``AltcraftClient.get_database``."""
        return await self._send(self._core.database(self.settings.database(list_id)), self._core.database_of)

    async def aclose(self) -> None:
        """End what is under way and close every connection."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, call: Call, read: Callable[[Call, Answer], T]) -> T:
        url, headers, body = self._core.request(call)

        async def once() -> T:
            await asyncio.sleep(self._pace.reserve())
            async with self._slots:
                with _named(call):
                    started = time.monotonic()
                    answer = await self._transport.send(url, headers, body)
                    self._ended(call, answer, started)
                    return read(call, answer)

        return await AsyncRetrying(**self.settings.retry.options())(once)
