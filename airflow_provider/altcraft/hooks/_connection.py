"""An Airflow connection as the client's settings."""

from __future__ import annotations

import asyncio
import importlib
import logging
from contextlib import suppress
from functools import lru_cache
from string import Formatter
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from airflow_provider.altcraft.client._nearest import did_you_mean
from airflow_provider.altcraft.get_provider_info import FORM_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider.altcraft.client import AsyncAltcraftClient
    from airflow_provider.altcraft.client._core import ClientOptions

log = logging.getLogger(__name__)

URLS: Final = {"profile_url": ("profile_id", "xxh", "list_id"), "campaign_url": ("campaign_id",)}
"""Extra fields that are templates of addresses in the platform, and what may stand in their braces."""


class ConnectionLike(Protocol):
    """What both Airflow lines' connections have."""

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
    """Base URL, token and options that a connection holds.

    Raises:
        ValueError: the host or the token is missing, or a field does not fit; the message names it and shows no token.
    """
    options: ClientOptions = {}
    extra = _extra(connection)
    if "list_id" in extra:
        options["list_id"] = _number(extra, "list_id", int)
    if "timeout" in extra:
        options["timeout"] = _number(extra, "timeout", float)
    if "max_connections" in extra:
        options["max_connections"] = _number(extra, "max_connections", int)
    if "requests_per_second" in extra:
        options["requests_per_second"] = _number(extra, "requests_per_second", float)
    if "outage_timeout" in extra:
        options["outage_timeout"] = _number(extra, "outage_timeout", float)
    if "auth" in extra:
        options["auth"] = extra["auth"]
    if "verify" in extra:
        options["verify"] = _verify(extra["verify"])
    if "proxy" in extra:
        options["proxy"] = extra["proxy"]
    if "on_missing_profile" in extra:
        options["on_missing_profile"] = extra["on_missing_profile"]
    if "timezone" in extra:
        options["timezone"] = extra["timezone"]
    for name in URLS:
        if name in extra:
            check_url_template(name, extra[name])
    if connection.login:
        _warn(connection, "the field login has no effect; the token goes into the field password")
    return _base_url(connection), connection.password or "", options


def platform_url(connection: ConnectionLike, name: str, values: Mapping[str, object]) -> str:
    """The page of a profile or campaign in the platform; empty where the connection or the values do not name it.

    Args:
        connection: has the template in its extra field ``name``.
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
    """The placeholders of a template of an address.

    Raises:
        ValueError: it is none of http or https, or has other placeholders than there are for it.
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
    """A client for the running event loop, which is not held up: imports and the CA file are for another thread.

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
    """The extra fields that are not empty; those that nothing reads are warned of."""
    extra = connection.extra_dejson
    # Airflow logs what is no JSON, and goes on without it.
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
    elif connection.port and port != str(connection.port):
        _warn(connection, f"the field port, {connection.port}, has no effect, because the host names port {port!r}")
    return f"{scheme}://{place}" + (f"/{path}" if path else "")


def _number(extra: dict[str, Any], name: str, kind: type) -> Any:
    """The field as it was sent; a text, which forms send, as the number that it spells."""
    value = extra[name]
    try:
        # Python's own spelling of numbers has underscores, which are a slip here.
        return kind(value) if isinstance(value, str) and "_" not in value else value
    except ValueError:
        return value  # the client's settings refuse it


def _verify(value: object) -> bool | str:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return words.get(str(value).strip().lower(), str(value))
