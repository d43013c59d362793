"""Builds the requests of all methods and turns answers into models, for both clients. Does no I/O."""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeGuard, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError  # noqa: TID253 - the package imports this module lazily
from pydantic_core import to_json

from airflow_provider.altcraft import __version__
from airflow_provider.altcraft.client._constants import API_PATH, MAX_CONNECTIONS, OUTAGE_TIMEOUT, TIMEOUT
from airflow_provider.altcraft.client._errors import ProfileNotFoundError, UnreadableAnswerError
from airflow_provider.altcraft.client._lookup import personal
from airflow_provider.altcraft.client._missing import MissingProfiles
from airflow_provider.altcraft.client._models import Database, HistoryEvent, Page, ProfileLookup
from airflow_provider.altcraft.client._responses import number_of, read_envelope, rows_of
from airflow_provider.altcraft.client._retry import Retry
from airflow_provider.altcraft.client.transport._httpx import Response
from airflow_provider.altcraft.client.transport._proxy import proxy_secrets, proxy_url
from airflow_provider.altcraft.window import Window, zone_of

if TYPE_CHECKING:
    from airflow_provider.altcraft.client._days import Asked

M = TypeVar("M", bound=BaseModel)

Auth: TypeAlias = Literal["body", "header"]
Format: TypeAlias = Literal["json", "xml"]
OnMissingProfile: TypeAlias = Literal["empty", "error"]

_DAY = 86_400.0

HISTORY = "subscribers/history_get"
DATABASE_HISTORY = "subscribers/history_get_all"
DATABASES = "databases/list/"
DATABASE = "databases/get/"
PROFILES = "profiles/list"


class ClientOptions(TypedDict, total=False):
    """The optional arguments of a client; ``ClientSettings`` documents them."""

    list_id: int | None
    timeout: float
    max_connections: int
    requests_per_second: float | None
    outage_timeout: float
    auth: Auth
    verify: bool | str
    proxy: str | None
    on_missing_profile: OnMissingProfile
    timezone: str | None
    retry: Retry


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The settings of a client.

    Attributes:
        base_url: address of the installation: scheme, host, port, perhaps a path; without a scheme it is ``https``.
        token: the API token.
        list_id: the database of calls that name none.
        timeout: seconds that one try of a call may take, from its connection to the last byte of the response.
        max_connections: calls under way at once, at most.
        requests_per_second: calls that leave in a second, at most; ``None`` for no limit.
        outage_timeout: seconds after which a pull or a watcher gives up because none of its calls is answered, or one
            of them has failed for so long while others are answered; a single call has its ``retry``, and as long
            where others are answered.
        auth: whether the token goes in the request's ``body`` or in an ``Authorization: Bearer`` ``header``.
        verify: whether the server's certificate is checked, or the path of the CA file to check it by.
        proxy: address of the HTTP proxy to go through, perhaps with ``user:password@``; ``None`` for the environment's
            (``HTTPS_PROXY``, ``NO_PROXY``), which else counts for nothing.
        on_missing_profile: what it means that the platform answers a lookup by an error that says it has no such
            profile: an ``empty`` history, which a warning counts, or an ``error``, ``ProfileNotFoundError``.
        timezone: IANA name of the account's time zone, by which the platform counts days; ``None`` where it is not
            known. A wrong one costs requests, never events.
        retry: how often and how patiently retriable errors are retried.

    Raises:
        ValueError: a value that cannot work; the message names it and never shows the token or the proxy.
    """

    base_url: str
    token: str = field(repr=False)
    list_id: int | None = None
    timeout: float = TIMEOUT
    max_connections: int = MAX_CONNECTIONS
    requests_per_second: float | None = None
    outage_timeout: float = OUTAGE_TIMEOUT
    auth: Auth = "body"
    verify: bool | str = True
    proxy: str | None = field(default=None, repr=False)
    on_missing_profile: OnMissingProfile = "empty"
    timezone: str | None = None
    retry: Retry = field(default_factory=Retry)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _base_url(self.base_url))
        if not isinstance(self.token, str) or not self.token.strip():
            raise ValueError("token: missing; expected an API token of the platform")
        if not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise ValueError("token: it holds a character that no token has, such as a space or a line break")
        if set(self.token) == {"*"}:
            raise ValueError("token: it is masked (***), so it is not the token itself; enter the token again")
        if self.list_id is not None and not (_is_whole(self.list_id) and self.list_id >= 1):
            raise ValueError(f"list_id: expected the integer id of a profile database, got {self.list_id!r}")
        if not _is_number(self.timeout) or not 0 < self.timeout <= _DAY:
            raise ValueError(f"timeout: expected a number of seconds above 0, a day's at most, got {self.timeout!r}")
        if not _is_whole(self.max_connections) or self.max_connections < 1:
            raise ValueError(f"max_connections: expected a whole number from 1 on, got {self.max_connections!r}")
        # The slowest pace is a call a day: a call waits for its turn.
        pace = self.requests_per_second
        if pace is not None and not (_is_number(pace) and 1 / _DAY <= pace < math.inf):
            raise ValueError(f"requests_per_second: expected a number above 0, or nothing, got {pace!r}")
        if not _is_number(self.outage_timeout) or not 0 <= self.outage_timeout <= _DAY:
            raise ValueError(
                f"outage_timeout: expected a number of seconds from 0 on, a day's at most, got {self.outage_timeout!r}"
            )
        if self.auth not in ("body", "header"):  # no set: what is given need not be hashable
            raise ValueError(f"auth: expected 'body' or 'header', got {self.auth!r}")
        if not isinstance(self.verify, bool | str):
            raise ValueError(f"verify: expected true, false or the path of a CA file, got {self.verify!r}")
        if self.on_missing_profile not in ("empty", "error"):
            raise ValueError(f"on_missing_profile: expected 'empty' or 'error', got {self.on_missing_profile!r}")
        if self.timezone is not None:
            zone_of(self.timezone)
        if isinstance(self.verify, str) and not Path(self.verify).is_file():
            raise ValueError(f"verify: there is no CA file {self.verify!r}")
        object.__setattr__(self, "proxy", proxy_url(self.proxy))

    @property
    def zone(self) -> ZoneInfo | None:
        """The account's time zone, where it is known."""
        return None if self.timezone is None else zone_of(self.timezone)

    def database(self, list_id: int | None) -> int:
        """Return the given database, else the default one.

        Raises:
            ValueError: neither the call nor these settings name one.
        """
        chosen = self.list_id if list_id is None else list_id
        if not _is_whole(chosen) or chosen < 1:
            raise ValueError(
                f"list_id: expected the integer id of a profile database, here or as the connection's default, "
                f"got {chosen!r}"
            )
        return chosen

    def ssl_context(self) -> bool | ssl.SSLContext:
        """Return the SSL context by which an HTTP library checks the server's certificate.

        Raises:
            ValueError: the CA file holds no certificates.
        """
        if isinstance(self.verify, bool):
            return self.verify
        try:
            return ssl.create_default_context(cafile=self.verify)
        except OSError:  # an SSLError is one
            raise ValueError(f"verify: {self.verify!r} is not a readable file of CA certificates in PEM") from None


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _base_url(value: str) -> str:
    url = value.strip()
    url = url if "://" in url else f"https://{url}"
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        port_fits = False
    if re.search(r"[@?#]", url):  # first, as it may hold a secret, which no message may show
        raise ValueError("base_url: only scheme, host, port and path belong there; the token has a field of its own")
    if not port_fits or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"base_url: expected an address such as https://example.com or https://[::1], got {value!r}")
    # Certificates have no final dot in a name: aiohttp removes it, httpx would not.
    url = re.sub(r"^([^/]*://[^/:]*)\.(?=[:/]|$)", r"\1", url)
    return url.rstrip("/").removesuffix(API_PATH.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API: its method, the request's fields, and the values that must not stand in an error."""

    method: str
    fields: Mapping[str, Any] = field(repr=False)
    personal: Sequence[str] = field(default=(), repr=False)


class Core:
    """Builds requests and reads responses by the settings."""

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self.missing = MissingProfiles()
        self._secrets = [settings.token, *proxy_secrets(settings.proxy)]
        self._headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"airflow-provider-altcraft/{__version__}",
        }
        if settings.auth == "header":
            self._headers["Authorization"] = f"Bearer {settings.token}"

    def request(self, call: Call) -> tuple[str, dict[str, str], bytes]:
        """Return URL, headers and body of a call."""
        token = {"token": self.settings.token} if self.settings.auth == "body" else {}
        return (
            self.settings.base_url + API_PATH + call.method,
            self._headers,
            to_json(token | dict(call.fields)),
        )

    def envelope(self, call: Call, response: Response) -> dict[str, Any]:
        """Return the envelope of a success; raise the error of a failure."""
        return read_envelope(response, [*self._secrets, *call.personal])

    def history(self, profile: ProfileLookup, list_id: int | None, window: Window, fmt: Format = "json") -> Call:
        """Return the call of ``subscribers/history_get`` for the days around the window, which ``in_window`` cuts.

        Raises:
            ValueError: no database is given, or the format is unknown.
        """
        if fmt not in {"json", "xml"}:
            raise ValueError(f"format: expected 'json' or 'xml', got {fmt!r}")
        return self.history_by(profile.fields, self.settings.database(list_id), window, fmt)

    @staticmethod
    def history_by(
        fields: Mapping[str, Any], list_id: int, window: Window, fmt: Format = "json", asked: Asked | None = None
    ) -> Call:
        """Return the call of ``history`` for fields of ``check_lookup``; for just the days in ``asked``, if given."""
        days = _days(window) if asked is None else {"date_from": str(asked.first), "date_to": str(asked.last)}
        return Call(HISTORY, {"format": fmt, "list_id": list_id, **fields, **days}, tuple(personal(fields)))

    def database_page(
        self, list_id: int | None, asked: Asked, from_id: str, page_size: int, fields: Sequence[str]
    ) -> Call:
        """Return the call of ``subscribers/history_get_all`` for one page.

        Raises:
            ValueError: no database is given, or another argument does not fit.
        """
        if isinstance(fields, str):
            raise ValueError("fields: expected a list of names, got one text")
        _check_page_size(page_size)
        body = {
            "format": "json",
            "list_id": self.settings.database(list_id),
            "from_id": from_id,
            "limit": page_size,
            "date_from": asked.first.isoformat(),
            "date_to": asked.last.isoformat(),
        }
        return Call(DATABASE_HISTORY, body | ({"fields": list(fields)} if fields else {}))

    @staticmethod
    def databases(from_id: int | str, page_size: int) -> Call:
        """Return the call of ``databases/list/`` for one page."""
        _check_page_size(page_size)
        return Call(DATABASES, {"from_id": from_id, "limit": page_size})

    @staticmethod
    def database(list_id: int) -> Call:
        """Return the call of ``databases/get/``."""
        return Call(DATABASE, {"id": list_id})

    @staticmethod
    def profiles(
        list_id: int, from_id: int | str, page_size: int, query: Mapping[str, Any], fields: Sequence[str]
    ) -> Call:
        """Return the call of ``profiles/list`` for one page; ``query`` is the platform's own, like MongoDB's."""
        _check_page_size(page_size)
        asked: dict[str, Any] = {"db_id": list_id, "from_id": from_id, "limit": page_size}
        asked |= {name: value for name, value in (("query", dict(query)), ("fields", list(fields))) if value}
        return Call(PROFILES, asked)

    def events_of(self, call: Call, response: Response) -> Page[HistoryEvent]:
        """Return the events of a ``history_get`` or ``history_get_all`` response, as they came."""
        return self._page(HistoryEvent, call, response)

    def events_within(
        self, window: Window, actions: Collection[str] | None, call: Call, response: Response
    ) -> list[HistoryEvent]:
        """Return the events within the window, oldest first; rows of other actions are not read."""
        rows = enumerate(self.page_of(call, response).rows)
        events = (
            parsed(HistoryEvent, row, f"data[{index}]", response.status)
            for index, row in rows
            if actions is None or _may_be(row, actions)
        )
        return in_window(events, window)

    def databases_of(self, call: Call, response: Response) -> Page[Database]:
        """Return the databases of a ``databases/list/`` response."""
        return self._page(Database, call, response)

    def database_of(self, call: Call, response: Response) -> Database:
        """Return the database of a ``databases/get/`` response."""
        return parsed(Database, self.envelope(call, response).get("data"), "data", response.status)

    def page_of(self, call: Call, response: Response) -> Page[Any]:
        """Return the rows of a list response as they were sent."""
        try:
            envelope = self.envelope(call, response)
        except ProfileNotFoundError:
            if call.method != HISTORY or self.settings.on_missing_profile == "error":
                raise
            self.missing.add()
            return Page([])
        cursor = envelope.get("next_from_id")
        return Page(
            rows_of(envelope, response.status),
            cursor if isinstance(cursor, int | str) and not isinstance(cursor, bool) and cursor != "" else None,
            number_of(envelope.get("total_count")),
        )

    def profiles_of(self, call: Call, response: Response) -> Page[Mapping[str, Any]]:
        """Return the profiles of a ``profiles/list`` response, as they were sent."""
        page = self.page_of(call, response)
        for index, row in enumerate(page.rows):
            if not isinstance(row, Mapping):
                raise UnreadableAnswerError(
                    f"data[{index}]: expected an object, got {type(row).__name__}", http_status=response.status
                )
        return page

    def _page(self, model: type[M], call: Call, response: Response) -> Page[M]:
        page = self.page_of(call, response)
        rows = [parsed(model, row, f"data[{index}]", response.status) for index, row in enumerate(page.rows)]
        return Page(rows, page.next_from_id, page.total_count)


def in_window(events: Iterable[HistoryEvent], window: Window) -> list[HistoryEvent]:
    """Return the events within the window, oldest first."""
    return sorted((event for event in events if event.datetime in window), key=lambda event: event.datetime)


def _may_be(row: object, actions: Collection[str]) -> bool:
    action = row.get("action") if isinstance(row, dict) else None
    return not isinstance(action, str) or action in actions  # left to the parser, which reports the fault


@lru_cache(maxsize=64)
def _days(window: Window) -> dict[str, str]:
    first, last = window.asked
    days = {"date_from": first, "date_to": last}
    return {key: day.isoformat() for key, day in days.items() if day is not None}


def _check_page_size(page_size: int) -> None:
    if not _is_whole(page_size) or page_size < 1:
        raise ValueError(f"page_size: expected rows a page from 1 on, got {page_size!r}")


def parsed(model: type[M], row: object, place: str, http_status: int) -> M:
    """Return a row as a model; the error names the row's place and field and shows no value."""
    try:
        return model.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join([place, *map(str, first["loc"])])
        raise UnreadableAnswerError(f"{where}: {first['msg']}", http_status=http_status) from None
