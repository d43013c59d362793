"""The client for threads: sends the core's requests at the pace of the settings, with retries."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from tenacity import Retrying

from airflow_provider.altcraft.client._base import BaseClient, Profile, named
from airflow_provider.altcraft.client._constants import PAGE_LIMIT
from airflow_provider.altcraft.client._core import DATABASE_HISTORY, DATABASES, PROFILES, Call, ClientOptions, Format
from airflow_provider.altcraft.client._errors import BadRequestError
from airflow_provider.altcraft.client._models import Database, HistoryEvent, ProfileLookup
from airflow_provider.altcraft.client._paging import PageWalk
from airflow_provider.altcraft.client._retry import Pace
from airflow_provider.altcraft.client.transport._httpx import HttpxTransport, Response, Transport
from airflow_provider.altcraft.window import DateLike, Window

if TYPE_CHECKING:
    from airflow_provider.altcraft.client._zone_finder import ZoneFinder

T = TypeVar("T")


class AltcraftClient(BaseClient):
    """The platform's API, call by call. Safe to share between threads; close it, or use it in a ``with`` block.

    Example:
        >>> with AltcraftClient("https://example.com", token, list_id=20) as client:
        ...     events = client.get_history("ann@example.com", date_from="2026-01-01")

    Args:
        base_url: address of the installation.
        token: the API token.
        transport: what sends the requests, instead of httpx.
        options: the other fields of ``ClientSettings``.

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
        self._pace = Pace(settings.requests_per_second)
        self._slots = threading.BoundedSemaphore(settings.max_connections)
        self._turn = threading.Lock()
        self._transport = transport or HttpxTransport(**self._transport_arguments())

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
        """Return one profile's events within the window, oldest first.

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
        page_size: int = PAGE_LIMIT,
    ) -> Iterator[HistoryEvent]:
        """Yield all events of a database within the window, page by page, in the platform's order.

        Args:
            list_id: the database; the client's own where ``None``.
            date_from: as in ``get_history``, but required.
            date_to: as in ``get_history``, but required.
            fields: profile fields to add to each event, as an object ``fields``.
            page_size: rows a page.

        Raises:
            ValueError: an argument that does not fit, before any request.
            CursorError: the platform refuses a cursor that it gave; events were given already, so start again.
            AltcraftError: see ``client._errors`` for the tree.
        """
        from airflow_provider.altcraft.client._days import DaysInTurn

        for asked in (days := DaysInTurn(Window.of(date_from, date_to), self.settings.zone)):
            walk = PageWalk[HistoryEvent](DATABASE_HISTORY, "", page_size)
            while not walk.done:
                call = self.core.database_page(list_id, asked, str(walk.cursor), page_size, fields)
                try:
                    page = self._send(call, self.core.events_of)
                except BadRequestError as error:
                    raise walk.refused(error) from None
                yield from days.kept(asked, walk.take(page))

    def find_zone(self) -> ZoneFinder:
        """Look at events of recent days of the default database, a page of each, to see how days are counted.

        Raises:
            ValueError: there is no default database.
            AltcraftError: see ``client._errors`` for the tree.
        """
        from airflow_provider.altcraft.client._days import Asked
        from airflow_provider.altcraft.client._zone_finder import ZoneFinder, recent_days

        finder = ZoneFinder()
        for day in recent_days(dt.datetime.now(dt.UTC)):
            window = Window.of(day, day)
            call = self.core.database_page(None, Asked(day, day, window, window), "", PAGE_LIMIT, ())
            finder.add(day, [event.datetime for event in self._send(call, self.core.events_of).rows])
            if finder.found:
                break
        return finder

    def iter_profiles(
        self,
        *,
        list_id: int | None = None,
        query: Mapping[str, Any] = MappingProxyType({}),
        fields: Sequence[str] = (),
        page_size: int = PAGE_LIMIT,
    ) -> Iterator[Mapping[str, Any]]:
        """Yield all profiles of a database, or those of a query, page by page, as the platform gives them.

        Only a profile's ``id`` is documented; any other field must be asked for.

        Args:
            list_id: the database; the client's own where ``None``.
            query: the platform's own, in the manner of MongoDB.
            fields: names of profile fields to give with each.
            page_size: profiles a page.

        Raises:
            ValueError: an argument that does not fit, before any request.
            CursorError: the platform refuses a cursor that it gave; profiles were given already, so start again.
            AltcraftError: see ``client._errors`` for the tree.
        """
        list_id, walk = self.settings.database(list_id), PageWalk[Mapping[str, Any]](PROFILES, "", page_size)
        while not walk.done:
            call = self.core.profiles(list_id, walk.cursor, page_size, query, fields)
            try:
                page = self._send(call, self.core.profiles_of)
            except BadRequestError as error:
                raise walk.refused(error) from None
            yield from walk.take(page)

    def list_databases(self, *, page_size: int = 100) -> list[Database]:
        """Return the databases that the token may see."""
        walk, found = PageWalk[Database](DATABASES, 0, page_size), list[Database]()
        while not walk.done:
            found += walk.take(self._send(self.core.databases(walk.cursor, page_size), self.core.databases_of))
        return found

    def count_databases(self) -> int:
        """Return how many databases the token may see: the cheapest call that needs a valid token."""
        page = self._send(self.core.databases(0, 1), self.core.databases_of)
        return len(page.rows) if page.total_count is None else page.total_count

    def get_database(self, list_id: int | None = None) -> Database:
        """Return one database; the client's own where ``list_id`` is ``None``."""
        return self._send(self.core.database(self.settings.database(list_id)), self.core.database_of)

    def close(self) -> None:
        """Close every connection. What is under way in other threads may last until its time-out."""
        self._closed.set()
        self._transport.close()
        self.core.missing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, call: Call, read: Callable[[Call, Response], T]) -> T:
        url, headers, body = self.core.request(call)

        def once() -> T:
            # The slot comes before the turn, else turns that passed while waiting for slots would leave all at once.
            with named(call), self._slots:
                with self._turn:
                    time.sleep(self._pace.wait())
                    self._pace.leave()
                self._check_open()
                started = time.monotonic()
                response = self._transport.send(url, headers, body)
                self._log(call, response, started)
                with self._pace.judged():
                    return read(call, response)

        settings = self.settings
        return Retrying(**settings.retry.options(self._pace, settings.outage_timeout, many=self._many))(once)
