"""The transport by aiohttp, for many requests: the cost of httpx's async pool grows with its connections."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any, Unpack

import aiohttp  # noqa: TID253 - only a running pull imports this module
from yarl import URL

from airflow_provider.altcraft.client._errors import (
    AltcraftError,
    BadRequestError,
    CertificateError,
    ConnectError,
    NetworkError,
    RequestTimeoutError,
)
from airflow_provider.altcraft.client.transport._httpx import (
    Response,
    TransportArguments,
    causes_of,
    certificate_words,
    connect_timeout,
    decompressed,
    ssl_context,
    why,
)
from airflow_provider.altcraft.client.transport._proxy import (
    PROXY_WANTS,
    EnvironmentProxies,
    proxy_credentials,
)

_HEADER_BYTES = 100 * 1024
"""A header's length at most, as in httpx; aiohttp's own limit of 8 kB is less than proxies are known to send."""


class AiohttpTransport:
    """aiohttp's session, of the event loop in which it is first used. ``send`` may be cancelled at any moment.

    Raises:
        ValueError: the environment names a proxy that cannot be used.
    """

    def __init__(self, **arguments: Unpack[TransportArguments]) -> None:
        self._timeout, self._max_connections = arguments["timeout"], arguments["max_connections"]
        self._ssl = ssl_context(arguments["verify"])
        proxy = arguments.get("proxy")
        self._proxies = None if proxy else EnvironmentProxies()
        self._proxy = str(URL(proxy).with_user(None)) if proxy else None
        # aiohttp itself would send them in latin-1, httpx in UTF-8.
        credentials = proxy_credentials(proxy)
        self._proxy_auth = aiohttp.BasicAuth(*credentials, encoding="utf-8") if credentials else None
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, tuple[URL, str | None]] = {}

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        """POST the body and return the whole response."""
        session = self._session or self._open()
        # A server may have closed a connection while the loop was busy: two rounds, and the pool has heard of it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            place, proxy = self._urls.get(url) or self._place(url)
            async with (
                asyncio.timeout(self._timeout),
                session.post(
                    place,
                    data=body,
                    headers=headers,
                    proxy=proxy,
                    proxy_auth=self._proxy_auth,
                    allow_redirects=False,
                ) as response,
            ):
                raw = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            # The library's error is not chained: it holds the request, and with it the token.
            raise _translated(error, self._timeout) from None
        found = {name.lower(): value for name, value in response.headers.items()}
        if any("\0" in value for value in found.values()):  # accepted by aiohttp before 3.14, refused by httpx
            raise NetworkError("the connection broke before the answer was whole: what came is not HTTP")
        packing = found.get("content-encoding")
        return Response(response.status, found, decompressed(raw, packing) if packing else raw)

    async def aclose(self) -> None:
        """End what is under way and close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        wait = connect_timeout(self._timeout)
        limits: dict[str, Any] = {"max_line_size": _HEADER_BYTES, "max_field_size": _HEADER_BYTES}
        if "max_headers" in inspect.signature(aiohttp.ClientSession).parameters:
            limits["max_headers"] = 1000
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._max_connections, ssl=self._ssl, resolver=aiohttp.ThreadedResolver()
            ),
            # Reads have no time-out of their own: the whole call has one.
            timeout=aiohttp.ClientTimeout(total=None, connect=wait, sock_connect=wait),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=1 << 20,  # a response is read whole, so a smaller one only stops and starts its socket
            auto_decompress=False,  # aiohttp takes a response whose gzip is cut off for a whole one
            skip_auto_headers=("Accept",),
            **limits,
        )
        return self._session

    def _place(self, url: str) -> tuple[URL, str | None]:
        self._urls[url] = place = (URL(url), self._proxies.of(url) if self._proxies else self._proxy)
        return place


def _translated(error: Exception, timeout: float) -> AltcraftError:
    causes = list(causes_of(error))
    untrusted = certificate_words(causes)
    if untrusted:
        return CertificateError(untrusted)
    match error:
        case aiohttp.ConnectionTimeoutError():
            return RequestTimeoutError(f"no connection within {connect_timeout(timeout):g} s; nothing was sent")
        case TimeoutError() if not isinstance(error, aiohttp.ClientOSError):
            return RequestTimeoutError(f"no whole answer within {timeout:g} s")
        case aiohttp.ClientHttpProxyError(status=407):
            return BadRequestError(PROXY_WANTS)
        case aiohttp.ClientHttpProxyError():
            return ConnectError("could not connect, so nothing was sent: the proxy refused")
        case aiohttp.ClientConnectorError():
            return ConnectError(f"could not connect, so nothing was sent: {why([error.os_error, *causes])}")
        case aiohttp.ClientResponseError():
            return NetworkError("the connection broke before the answer was whole: what came is not HTTP")
        case aiohttp.ServerDisconnectedError():
            return NetworkError("the connection broke before the answer was whole: the server closed it")
        case aiohttp.ClientPayloadError():
            return NetworkError(f"the connection broke before the answer was whole: {_of_payload(causes)}")
        case aiohttp.InvalidURL() | ValueError():
            return BadRequestError("the request cannot be sent: InvalidURL; look at the connection's host and token")
        case _:
            # Its own errors of the connection have the words of the system's, but not their kind.
            return NetworkError(f"the connection broke before the answer was whole: {why(causes[1:] or causes)}")


def _of_payload(causes: list[BaseException]) -> str:
    """Return the cause of a broken body, which aiohttp tells only in its text."""
    words = " ".join(map(str, causes))
    if "ConnectionResetError" in words:
        return "the server reset the connection"
    if "TransferEncodingError" in words and "Not enough data" not in words:
        return "what came is not HTTP"
    return "the server closed it"
