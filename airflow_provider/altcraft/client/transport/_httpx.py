"""The seam between this client and an HTTP library: request bytes in; status, headers and body bytes out; our errors.

httpx stands behind it here, aiohttp in ``_aiohttp``. Whatever stands behind it tells the same fault by the same error,
and "could not connect" means that nothing was sent.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NotRequired, Protocol, TypedDict, Unpack

import httpx  # noqa: TID253 - the package imports this module lazily

from airflow_provider.altcraft.client._constants import CONNECT_TIMEOUT, LARGE_ANSWER
from airflow_provider.altcraft.client._errors import (
    AltcraftError,
    BadRequestError,
    CertificateError,
    ConnectError,
    NetworkError,
    RequestTimeoutError,
    UnreadableAnswerError,
)
from airflow_provider.altcraft.client.transport._deadline import Deadline
from airflow_provider.altcraft.client.transport._proxy import PROXY_WANTS


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response, decompressed. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Sends one request at a time from any thread. Raises only errors of this package."""

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        """POST the body and return the whole response."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class AsyncTransport(Protocol):
    """The same in an event loop. ``send`` is not cancelled, but for ``aclose`` to follow."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        """POST the body and return the whole response."""
        ...

    async def aclose(self) -> None:
        """End what is under way and close every connection."""
        ...


class TransportArguments(TypedDict):
    """The arguments of every transport.

    Attributes:
        timeout: seconds for one whole call.
        max_connections: connections at most.
        verify: ``True``, ``False``, or an SSL context.
        proxy: address of a proxy, as ``proxy_url`` spells it; ``None`` for the environment's.
    """

    timeout: float
    max_connections: int
    verify: bool | ssl.SSLContext
    proxy: NotRequired[str | None]


class HttpxTransport:
    """httpx's client, for calls one at a time or from a few threads.

    The time-out is not that of the look-up of the host's name, which nothing can break off. Where the name has several
    addresses, each of them has the time to connect for itself.
    """

    def __init__(self, **arguments: Unpack[TransportArguments]) -> None:
        self._timeout = arguments["timeout"]
        self._client = httpx.Client(**_options(**arguments))
        self._deadline = Deadline()
        self._deadline.hold(self._client)

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        """POST the body and return the whole response."""
        self._deadline.start(self._timeout)
        with _our_errors(self._timeout):
            with self._client.stream("POST", url, headers=headers, content=body) as response:
                return _response_of(response, response.iter_raw())

    def close(self) -> None:
        self._client.close()


class AsyncHttpxTransport:
    """httpx's async client. Its pool loses a connection when a request in it is cancelled before it is connected."""

    def __init__(self, **arguments: Unpack[TransportArguments]) -> None:
        self._timeout = arguments["timeout"]
        self._client = httpx.AsyncClient(**_options(**arguments))

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        """POST the body and return the whole response."""
        with _our_errors(self._timeout):
            # A server that drips a byte a second never meets a time-out of a single read.
            async with asyncio.timeout(self._timeout):
                async with self._client.stream("POST", url, headers=headers, content=body) as response:
                    pieces = [piece async for piece in response.aiter_raw()]
            if response.num_bytes_downloaded < LARGE_ANSWER:
                return _response_of(response, pieces)
            return await asyncio.to_thread(_response_of, response, pieces)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def _options(
    timeout: float, max_connections: int, verify: bool | ssl.SSLContext, proxy: str | None = None
) -> dict[str, Any]:
    """Return the arguments that both of httpx's clients take."""
    # A proxy that is itself spoken to by TLS is trusted as the platform is; httpx refuses a context for another.
    tls = ssl_context(verify) if proxy and proxy.startswith("https:") else None
    return {
        "timeout": httpx.Timeout(timeout, connect=connect_timeout(timeout)),
        "limits": httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
        "verify": verify,
        "proxy": None if proxy is None else httpx.Proxy(proxy, ssl_context=tls),
        "follow_redirects": False,
    }


def connect_timeout(timeout: float) -> float:
    """Return the seconds to wait for a connection."""
    # Less than the whole, so that it fires first: then it is known that nothing was sent.
    return min(0.9 * timeout, CONNECT_TIMEOUT)


def ssl_context(verify: bool | ssl.SSLContext) -> ssl.SSLContext:
    """Return the TLS context of every transport, with ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``."""
    return httpx.create_ssl_context(verify=verify)


def decompressed(body: bytes, packing: str | None) -> bytes:
    """Return the body as it was before the encodings of ``Content-Encoding``.

    httpx and aiohttp take what is cut off for whole, so it is done here.

    Raises:
        UnreadableAnswerError: it is broken, cut off, or of an encoding that was not asked for.
    """
    for name in reversed((packing or "").lower().split(",")):
        try:
            match name.strip():
                case "gzip" | "x-gzip":
                    body = gzip.decompress(body)
                case "deflate":
                    body = _inflated(body)
                case "" | "identity":
                    pass
                case _:
                    raise UnreadableAnswerError("the answer has a compression that was not asked for")
        except (OSError, EOFError, zlib.error):
            raise UnreadableAnswerError("the answer's compression is broken") from None
    return body


def _inflated(body: bytes) -> bytes:
    try:
        return zlib.decompress(body)
    except zlib.error:  # some servers leave the zlib header out
        return zlib.decompress(body, -zlib.MAX_WBITS)


def _response_of(response: httpx.Response, pieces: Iterable[bytes]) -> Response:
    headers = {key.lower(): value for key, value in response.headers.items()}
    return Response(response.status_code, headers, decompressed(b"".join(pieces), headers.get("content-encoding")))


@contextmanager
def _our_errors(timeout: float) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ssl.SSLError, UnicodeEncodeError) as error:
        # The library's error is not chained: it holds the request, and with it the token.
        raise _translated(error, timeout) from None


def _translated(error: Exception, timeout: float) -> AltcraftError:
    causes = list(causes_of(error))
    untrusted = certificate_words(causes)
    if untrusted:
        return CertificateError(untrusted)
    match error:
        case httpx.ConnectTimeout():
            return RequestTimeoutError(f"no connection within {connect_timeout(timeout):g} s; nothing was sent")
        case httpx.TimeoutException() | TimeoutError():
            return RequestTimeoutError(f"no whole answer within {timeout:g} s")
        case httpx.ProxyError() if str(error).startswith("407"):
            return BadRequestError(PROXY_WANTS)
        case httpx.ConnectError() | httpx.ProxyError():
            return ConnectError(f"could not connect, so nothing was sent: {why(causes)}")
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError() | UnicodeEncodeError():
            return BadRequestError(
                f"the request cannot be sent: {type(error).__name__}; look at the connection's host and token"
            )
        case _:
            return NetworkError(f"the connection broke before the answer was whole: {why(causes)}")


def certificate_words(causes: Iterable[BaseException]) -> str | None:
    """Return the error of an untrusted certificate in words, if that is among the causes."""
    for cause in causes:
        words = getattr(cause, "verify_message", None)  # an HTTP library's error of this kind has none
        if isinstance(cause, ssl.SSLCertVerificationError) and words:
            return (
                f"the server's TLS certificate cannot be trusted ({words}): "
                "give its CA file as 'verify', or correct the host"
            )
    return None


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes; for several failed connections, each."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                yield from causes_of(each)
        error = error.__cause__ or error.__context__


def why(causes: list[BaseException]) -> str:
    """Return the cause in our own words: the library's may quote the server, and so the token."""
    for cause in causes:
        match cause:
            case socket.gaierror():
                return "no such host"
            case ssl.SSLError():
                return f"TLS failed ({cause.reason or type(cause).__name__})"
            case ConnectionRefusedError():
                return "the connection was refused"
            case ConnectionResetError() | BrokenPipeError():
                return "the server reset the connection"
            case OSError(strerror=str(words)):
                return words
            case httpx.RemoteProtocolError() if str(cause).startswith(("Server disconnected", "peer closed")):
                return "the server closed it"
            case httpx.RemoteProtocolError():
                return "what came is not HTTP"
            case httpx.ProxyError():
                return "the proxy refused"
    return type(causes[0]).__name__
