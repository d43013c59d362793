"""The one place where requests are built and answers become models. Nothing here does I/O: the clients do."""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError  # noqa: TID253 - the package imports this module lazily
from pydantic_core import to_json

from airflow_provider.altcraft import __version__
from airflow_provider.altcraft.client._answers import number_of, read_envelope, rows_of
from airflow_provider.altcraft.client._constants import API_PATH, MAX_CONNECTIONS, TIMEOUT
from airflow_provider.altcraft.client._errors import UnreadableAnswerError
from airflow_provider.altcraft.client._lookup import personal
from airflow_provider.altcraft.client._models import Database, HistoryEvent, Page, ProfileLookup
from airflow_provider.altcraft.client._proxy import proxy_secrets, proxy_url
from airflow_provider.altcraft.client._retry import Retry
from airflow_provider.altcraft.client._transport import Answer
from airflow_provider.altcraft.window import Window

M = TypeVar("M", bound=BaseModel)

Auth: TypeAlias = Literal["body", "header"]
Format: TypeAlias = Literal["json", "xml"]

_DAY = 86_400.0

HISTORY = "subscribers/history_get"
DATABASE_HISTORY = "subscribers/history_get_all"
DATABASES = "databases/list/"
DATABASE = "databases/get/"
PROFILES = "profiles/list"


class ClientOptions(TypedDict, total=False):
    """What a client may be given beside address and token; ``Settings`` says what each means."""

    list_id: int | None
    timeout: float
    max_connections: int
    requests_per_second: float | None
    auth: Auth
    verify: bool | str
    proxy: str | None
    retry: Retry


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the platform is and how to speak to it.

    Attributes:
        base_url: address of the installation: scheme, host, port, perhaps a path; without a scheme it is ``https``.
        token: the API token.
        list_id: the database that is meant where a call names none.
        timeout: seconds that one try of a call may take, from its connection to the last byte of the answer.
        max_connections: calls under way at once, at most.
        requests_per_second: calls that leave in a second, at most; ``None`` for no limit.
        auth: whether the token goes in the request's ``body`` or in an ``Authorization: Bearer`` ``header``.
        verify: whether the server's certificate is checked, or the path of the CA file to check it by.
        proxy: address of the HTTP proxy to go through, perhaps with ``user:password@``; ``None`` for the environment's
            (``HTTPS_PROXY``, ``NO_PROXY``), which else counts for nothing.
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
    auth: Auth = "body"
    verify: bool | str = True
    proxy: str | None = field(default=None, repr=False)
    retry: Retry = field(default_factory=Retry)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _base_url(self.base_url))
        if not isinstance(self.token, str) or not self.token.strip():
            raise ValueError("token: missing; an API token of the platform is wanted")
        if not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise ValueError("token: it holds a character that no token has, such as a space or a line break")
        if set(self.token) == {"*"}:
            raise ValueError("token: it is masked (***), so it is not the token itself; enter the token again")
        if not 0 < self.timeout <= _DAY:
            raise ValueError(f"timeout: seconds above 0 are wanted, a day's at most, not {self.timeout}")
        if self.max_connections < 1:
            raise ValueError(f"max_connections: 1 or more is wanted, not {self.max_connections}")
        # The slowest pace is a call a day: a call waits for its turn.
        if self.requests_per_second is not None and not 1 / _DAY <= self.requests_per_second < math.inf:
            raise ValueError(f"requests_per_second: above 0 is wanted, or nothing, not {self.requests_per_second}")
        if self.auth not in {"body", "header"}:
            raise ValueError(f"auth: 'body' or 'header' is wanted, not {self.auth!r}")
        if isinstance(self.verify, str) and not Path(self.verify).is_file():
            raise ValueError(f"verify: there is no CA file {self.verify!r}")
        object.__setattr__(self, "proxy", proxy_url(self.proxy))

    def database(self, list_id: int | None) -> int:
        """The database that is meant.

        Raises:
            ValueError: neither the call nor these settings name one.
        """
        chosen = self.list_id if list_id is None else list_id
        if not isinstance(chosen, int) or isinstance(chosen, bool) or chosen < 1:
            raise ValueError("list_id: the number of a profile database is wanted, here or as the connection's default")
        return chosen

    def ssl_context(self) -> bool | ssl.SSLContext:
        """What an HTTP library needs to check the server's certificate.

        Raises:
            ValueError: the CA file holds no certificates.
        """
        if isinstance(self.verify, bool):
            return self.verify
        try:
            return ssl.create_default_context(cafile=self.verify)
        except OSError:  # an SSLError is one
            raise ValueError(f"verify: {self.verify!r} is not a readable file of CA certificates in PEM") from None


def _base_url(value: str) -> str:
    url = value.strip()
    url = url if "://" in url else f"https://{url}"
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        port_fits = False
    if re.search(r"[@?#]", url):  # first, as there may be a secret in it, which no message may show
        raise ValueError("base_url: only scheme, host, port and path belong there; the token has a field of its own")
    if not port_fits or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"base_url: {value!r} is not an address such as https://example.com")
    return url.rstrip("/").removesuffix(API_PATH.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API: its method, the request's fields, and the values that must not stand in an error."""

    method: str
    fields: Mapping[str, Any] = field(repr=False)
    personal: Sequence[str] = field(default=(), repr=False)


class Core:
    """Builds requests and reads answers by the settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._secrets = [settings.token, *proxy_secrets(settings.proxy)]
        self._headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"airflow-provider-altcraft/{__version__}",
        }
        if settings.auth == "header":
            self._headers["Authorization"] = f"Bearer {settings.token}"

    def request(self, call: Call) -> tuple[str, dict[str, str], bytes]:
        """URL, headers and body of a call."""
        token = {"token": self.settings.token} if self.settings.auth == "body" else {}
        return (
            self.settings.base_url + API_PATH + call.method,
            self._headers,
            to_json(token | dict(call.fields)),
        )

    def envelope(self, call: Call, answer: Answer) -> dict[str, Any]:
        """The envelope of a success; raises the error that the answer is."""
        return read_envelope(answer, [*self._secrets, *call.personal])

    def history(self, profile: ProfileLookup, list_id: int | None, window: Window, fmt: Format = "json") -> Call:
        """``subscribers/history_get``: the days around the window are asked, ``in_window`` cuts them.

        Raises:
            ValueError: no database is meant, or the format is unknown.
        """
        if fmt not in {"json", "xml"}:
            raise ValueError(f"format: 'json' or 'xml' is wanted, not {fmt!r}")
        return self.history_by(profile.fields, self.settings.database(list_id), window, fmt)

    @staticmethod
    def history_by(fields: Mapping[str, Any], list_id: int, window: Window, fmt: Format = "json") -> Call:
        """As ``history``, of what ``check_lookup`` gave."""
        asked = {"format": fmt, "list_id": list_id, **fields, **_days(window)}
        return Call(HISTORY, asked, tuple(personal(fields)))

    def database_page(
        self, list_id: int | None, window: Window, from_id: str, limit: int, fields: Sequence[str]
    ) -> Call:
        """``subscribers/history_get_all``: one page.

        Raises:
            ValueError: no database is meant, an end of the window is missing, or another argument does not fit.
        """
        if window.start is None or window.end is None:
            raise ValueError("date_from, date_to: the history of a whole database needs both")
        if isinstance(fields, str):
            raise ValueError("fields: a list of names is wanted, not one text")
        _check_limit(limit)
        asked = {
            "format": "json",
            "list_id": self.settings.database(list_id),
            "from_id": from_id,
            "limit": limit,
        } | _days(window)
        return Call(DATABASE_HISTORY, asked | ({"fields": list(fields)} if fields else {}))

    @staticmethod
    def databases(from_id: int | str, limit: int) -> Call:
        """``databases/list/``: one page."""
        _check_limit(limit)
        return Call(DATABASES, {"from_id": from_id, "limit": limit})

    @staticmethod
    def database(list_id: int) -> Call:
        """``databases/get/``."""
        return Call(DATABASE, {"id": list_id})

    @staticmethod
    def profiles(list_id: int, from_id: int | str, limit: int, query: Mapping[str, Any], fields: Sequence[str]) -> Call:
        """``profiles/list``: one page; ``query`` is the platform's own, in the manner of MongoDB."""
        _check_limit(limit)
        asked: dict[str, Any] = {"db_id": list_id, "from_id": from_id, "limit": limit}
        asked |= {name: value for name, value in (("query", dict(query)), ("fields", list(fields))) if value}
        return Call(PROFILES, asked)

    def events_of(self, call: Call, answer: Answer) -> Page[HistoryEvent]:
        """The events of a ``history_get`` or ``history_get_all`` answer, as they came."""
        return self._page(HistoryEvent, call, answer)

    def events_within(
        self, window: Window, actions: Collection[str] | None, call: Call, answer: Answer
    ) -> list[HistoryEvent]:
        """Those of them that are within the window, oldest first; rows of other actions are passed over unread."""
        rows = enumerate(self.page_of(call, answer).rows)
        events = (
            parsed(HistoryEvent, row, f"data[{index}]", answer.status)
            for index, row in rows
            if actions is None or _may_be(row, actions)
        )
        return in_window(events, window)

    def databases_of(self, call: Call, answer: Answer) -> Page[Database]:
        """The databases of a ``databases/list/`` answer."""
        return self._page(Database, call, answer)

    def database_of(self, call: Call, answer: Answer) -> Database:
        """The database of a ``databases/get/`` answer."""
        return parsed(Database, self.envelope(call, answer).get("data"), "data", answer.status)

    def page_of(self, call: Call, answer: Answer) -> Page[Any]:
        """The rows of a list answer as they were sent."""
        envelope = self.envelope(call, answer)
        cursor = envelope.get("next_from_id")
        return Page(
            rows_of(envelope, answer.status),
            cursor if isinstance(cursor, int | str) and not isinstance(cursor, bool) and cursor != "" else None,
            number_of(envelope.get("total_count")),
        )

    def _page(self, model: type[M], call: Call, answer: Answer) -> Page[M]:
        page = self.page_of(call, answer)
        rows = [parsed(model, row, f"data[{index}]", answer.status) for index, row in enumerate(page.rows)]
        return Page(rows, page.next_from_id, page.total_count)


def in_window(events: Iterable[HistoryEvent], window: Window) -> list[HistoryEvent]:
    """The events within the window, oldest first."""
    return sorted((event for event in events if event.datetime in window), key=lambda event: event.datetime)


def _may_be(row: object, actions: Collection[str]) -> bool:
    action = row.get("action") if isinstance(row, dict) else None
    return not isinstance(action, str) or action in actions  # what is no row shall be told as such


@lru_cache(maxsize=64)
def _days(window: Window) -> dict[str, str]:
    first, last = window.asked
    days = {"date_from": first, "date_to": last}
    return {key: day.isoformat() for key, day in days.items() if day is not None}


def _check_limit(limit: int) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ValueError(f"limit: rows a page from 1 on are wanted, not {limit!r}")


def parsed(model: type[M], row: object, place: str, http_status: int) -> M:
    """A row as a model; the error names the row's place and field and shows no value."""
    try:
        return model.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join([place, *map(str, first["loc"])])
        raise UnreadableAnswerError(f"{where}: {first['msg']}", http_status=http_status) from None
