"""Reads an Airflow connection: the client's address, token and options, and links to the platform."""

from __future__ import annotations

import asyncio
import importlib
import logging
from contextlib import suppress
from functools import lru_cache
from string import Formatter
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from urllib.parse import quote

from airflow_provider.altcraft.client._nearest import did_you_mean
from airflow_provider.altcraft.get_provider_info import FORM_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider.altcraft.client import AsyncAltcraftClient
    from airflow_provider.altcraft.client._core import ClientOptions

log = logging.getLogger(__name__)

URLS: Final = {"profile_url": ("profile_id", "xxh", "list_id"), "campaign_url": ("campaign_id",)}
"""Extra fields that are templates of addresses in the platform, with their placeholders."""

_NUMBERS: Final = {
    "list_id": int,
    "timeout": float,
    "max_connections": int,
    "requests_per_second": float,
    "outage_timeout": float,
}
_TEXTS: Final = ("auth", "proxy", "on_missing_profile", "timezone")
"""Extra fields that are options of the client: numbers, which forms send as texts, and texts."""


class ConnectionLike(Protocol):
    """The attributes of a connection in Airflow 2 and 3."""

    conn_id: str
    host: str | None
    port: int | None
    schema: str | None
    login: str | None
    password: str | None
    extra: str | None

    @property
    def extra_dejson(self) -> Any:
        """The extra fields, as far as they are JSON."""
        ...


def client_arguments(connection: ConnectionLike) -> tuple[str, str, ClientOptions]:
    """Return base URL, token and options of a connection.

    Raises:
        ValueError: the host or the token is missing, or a field does not fit; the message names it and shows no token.
    """
    extra = _extra(connection)
    options: dict[str, Any] = {name: _number(extra[name], kind) for name, kind in _NUMBERS.items() if name in extra}
    options |= {name: extra[name] for name in _TEXTS if name in extra}
    if "verify" in extra:
        options["verify"] = _verify(extra["verify"])
    for name in URLS:
        if name in extra:
            check_url_template(name, extra[name])
    if connection.login:
        _warn(connection, "the field login has no effect; the token goes into the field password")
    return _base_url(connection), connection.password or "", cast("ClientOptions", options)


def platform_url(connection: ConnectionLike, name: str, values: Mapping[str, object]) -> str:
    """Return the address of a profile's or campaign's page; empty where the connection or the values do not name it.

    Args:
        connection: with the template in its extra field ``name``.
        name: one of ``URLS``.
        values: of the placeholders, as far as they are known.

    Raises:
        ValueError: the template does not fit.
    """
    template = _extra(connection).get(name)
    if template is None:
        return ""
    if any(not values.get(placeholder) for placeholder in check_url_template(name, template)):
        return ""
    return str(template).format_map({key: quote(str(value), safe="") for key, value in values.items()})


def check_url_template(name: str, template: object) -> list[str]:
    """Return the placeholders of a template of an address.

    Raises:
        ValueError: it is not http or https, or has other placeholders than ``URLS`` names.
    """
    known = URLS[name]
    expected = f"{name}: expected an address such as https://example.com/…/{{{known[0]}}}"
    try:
        found = [(field, spec, how) for _, field, spec, how in Formatter().parse(str(template)) if field is not None]
    except ValueError:
        raise ValueError(f"{expected}, got one with an odd brace") from None
    names = [field for field, _, _ in found]
    if not str(template).startswith(("https://", "http://")) or not names:
        raise ValueError(f"{expected}, got {template!r}")
    if other := [field for field, spec, how in found if field not in known or spec or how]:
        raise ValueError(f"{expected}; its placeholders are {', '.join(known)}, got {other[0]!r}")
    return names


async def async_client(base_url: str, token: str, options: ClientOptions) -> AsyncAltcraftClient:
    """Return a client for the running event loop, made in another thread: imports and the CA file would block the loop.

    Raises:
        ValueError: an option that cannot work.
    """

    def made() -> AsyncAltcraftClient:
        from airflow_provider.altcraft.client import AsyncAltcraftClient

        with suppress(ImportError):  # what httpx imports during its first request
            importlib.import_module("anyio._backends._asyncio")
        return AsyncAltcraftClient(base_url, token, **options)

    return await asyncio.to_thread(made)


def _extra(connection: ConnectionLike) -> dict[str, Any]:
    """Return the extra fields that are not empty, and warn of unknown ones."""
    extra = connection.extra_dejson
    # Airflow logs an extra that is not JSON, and gives an empty one.
    if extra is None or (extra == {} and "".join((connection.extra or "").split()) in {"", "{}"}):
        return {}
    if not isinstance(extra, dict) or not extra:
        raise ValueError('extra: expected a JSON object, such as {"list_id": 20}')
    # The Test button of Airflow 2.11 sends each of the form's fields by a second name too.
    known = {*FORM_FIELDS, *(f"extra__altcraft__{name}" for name in FORM_FIELDS)}
    for name in extra.keys() - known:
        _warn(connection, f"the extra field {name!r} is not known and has no effect{did_you_mean(name, FORM_FIELDS)}")
    return {key: value for key, value in extra.items() if value is not None and value != ""}


def _warn(connection: ConnectionLike, what: str) -> None:
    _warn_once(connection.conn_id, what)


@lru_cache(maxsize=256)  # connections are read again and again
def _warn_once(conn_id: str, what: str) -> None:
    log.warning("Connection %s: %s", conn_id, what)


def _base_url(connection: ConnectionLike) -> str:
    host = (connection.host or "").strip().rstrip("/")
    if not host and not connection.password:
        raise ValueError(
            "host, password: missing; expected the address of the installation, such as https://example.com, and an "
            "API token of the platform"
        )
    if not host:
        raise ValueError("host: missing; expected the address of the installation, such as https://example.com")
    # The URI form of a connection takes the address apart: the schema is what stood behind the host.
    schema = (connection.schema or "").strip("/")
    if "://" not in host:
        if schema not in {"", "http", "https"}:
            raise ValueError(f"schema: expected http or https, got {connection.schema!r}; a path belongs to the host")
        host, schema = f"{schema or 'https'}://{host}", ""
    scheme, _, rest = host.partition("://")
    place, _, path = rest.partition("/")
    if schema and schema != scheme.lower():
        if path or schema in {"http", "https"}:
            raise ValueError(
                f"schema: expected nothing where the host is a whole address, got {connection.schema!r}; write scheme, "
                f"host, port and path into the host"
            )
        path = schema
    _, colon, port = place.rpartition("]")[2].partition(":")
    if connection.port and not colon:
        place = f"{place}:{connection.port}"
    elif connection.port and port.isdecimal() and port != str(connection.port):  # other texts are refused later
        _warn(connection, f"the field port, {connection.port}, has no effect, because the host names port {port!r}")
    return f"{scheme}://{place}" + (f"/{path}" if path else "")


def _number(value: Any, kind: type) -> Any:
    """Return the number of a text, which forms send; any other value as it is."""
    try:
        # Python reads underscores in numbers, which are a slip here.
        return kind(value) if isinstance(value, str) and "_" not in value else value
    except ValueError:
        return value  # the client's settings refuse it


def _verify(value: object) -> bool | str:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return words.get(str(value).strip().lower(), str(value))
