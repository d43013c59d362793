"""An Airflow connection as the client's settings."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AsyncAltcraftClient
    from airflow_provider.altcraft.client._core import ClientOptions


class ConnectionLike(Protocol):
    """What both Airflow lines' connections have."""

    host: str | None
    port: int | None
    schema: str | None
    password: str | None

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """The extra fields."""
        ...


def client_arguments(connection: ConnectionLike) -> tuple[str, str, ClientOptions]:
    """Base URL, token and options that a connection holds.

    Raises:
        ValueError: the host or the token is missing, or a field does not fit; the message names it and shows no token.
    """
    options: ClientOptions = {}
    extra = {key: value for key, value in connection.extra_dejson.items() if value is not None and value != ""}
    if "list_id" in extra:
        options["list_id"] = _number(extra, "list_id", int)
    if "timeout" in extra:
        options["timeout"] = _number(extra, "timeout", float)
    if "max_connections" in extra:
        options["max_connections"] = _number(extra, "max_connections", int)
    if "requests_per_second" in extra:
        options["requests_per_second"] = _number(extra, "requests_per_second", float)
    if "auth" in extra:
        options["auth"] = extra["auth"]
    if "verify" in extra:
        options["verify"] = _verify(extra["verify"])
    if "proxy" in extra:
        options["proxy"] = extra["proxy"]
    return _base_url(connection), connection.password or "", options


async def async_client(base_url: str, token: str, options: ClientOptions) -> AsyncAltcraftClient:
    """A client for the running event loop, which is not held up: imports and the CA file are for another thread.

    Raises:
        ValueError: an option that cannot work.
    """

    def made() -> AsyncAltcraftClient:
        from airflow_provider.altcraft.client import AsyncAltcraftClient

        with suppress(ImportError):  # what httpx imports amid its first request
            importlib.import_module("anyio._backends._asyncio")
        return AsyncAltcraftClient(base_url, token, **options)

    return await asyncio.to_thread(made)


def _base_url(connection: ConnectionLike) -> str:
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        raise ValueError("host: missing; the address of the installation is wanted, such as https://example.com")
    if "://" not in host:
        # The URI form of a connection takes the address apart; its schema then says http or https.
        if connection.schema not in {None, "", "http", "https"}:
            raise ValueError(f"schema: http or https is wanted, not {connection.schema!r}; a path belongs to the host")
        host = f"{connection.schema or 'https'}://{host}"
    scheme, _, rest = host.partition("://")
    place, slash, path = rest.partition("/")
    if connection.port and not place.rpartition("]")[2].count(":"):
        place = f"{place}:{connection.port}"
    return f"{scheme}://{place}{slash}{path}"


def _number(extra: dict[str, Any], name: str, kind: type) -> Any:
    try:
        return kind(extra[name])
    except (TypeError, ValueError):
        wanted = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name}: {wanted} is wanted in the connection, not {extra[name]!r}") from None


def _verify(value: object) -> bool | str:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return words.get(str(value).strip().lower(), str(value))
