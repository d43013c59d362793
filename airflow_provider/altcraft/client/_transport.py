"""The seam between this client and an HTTP library: request bytes in; status, headers and body bytes out; our errors.

httpx stands behind it here. Whatever stands behind it tells the same fault by the same error, and "could not connect"
means that nothing was sent.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import httpx  # noqa: TID253 - the package imports this module lazily

from airflow_provider.altcraft.client._constants import CONNECT_TIMEOUT
from airflow_provider.altcraft.client._errors import (
    AltcraftError,
    CertificateError,
    ConnectError,
    NetworkError,
    RequestError,
    RequestTimeoutError,
    UnreadableAnswerError,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, decompressed. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Sends one request at a time from any thread. Raises only errors of this package."""

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST the body and return the whole answer."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class AsyncTransport(Protocol):
    """The same in an event loop. A cancelled ``send`` neither leaks nor breaks a connection."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST the body and return the whole answer."""
        ...

    async def aclose(self) -> None:
        """End what is under way and close every connection."""
        ...


class HttpxTransport:
    """httpx's client, for calls one at a time or from a few threads.

    Args:
        timeout: seconds for one whole call. The body is held to it; each read of the headers is, by itself.
        max_connections: connections kept.
        verify: ``True``, ``False``, or an SSL context.
    """

    def __init__(self, *, timeout: float, max_connections: int, verify: bool | ssl.SSLContext) -> None:
        self._timeout = timeout
        self._client = httpx.Client(
            timeout=_timeouts(timeout), limits=_limits(max_connections), verify=verify, follow_redirects=False
        )

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST the body and return the whole answer."""
        deadline = time.monotonic() + self._timeout
        with _our_errors(self._timeout):
            with self._client.stream("POST", url, headers=headers, content=body) as response:
                chunks = []
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    # A server that drips a byte a second never meets a time-out of a single read.
                    if time.monotonic() > deadline:
                        raise TimeoutError
                return _answer(response, b"".join(chunks))

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


class AsyncHttpxTransport:
    """httpx's async client.

    httpx's pool loses a connection when a request in it is cancelled, so each request runs in a task of its own, which
    a cancelled caller leaves to end by itself, within the time-out.
    """

    def __init__(self, *, timeout: float, max_connections: int, verify: bool | ssl.SSLContext) -> None:
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            timeout=_timeouts(timeout), limits=_limits(max_connections), verify=verify, follow_redirects=False
        )
        self._under_way: set[asyncio.Task[Answer]] = set()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST the body and return the whole answer."""
        return await _in_own_task(self._under_way, partial(self._send, url, headers, body))

    async def _send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        with _our_errors(self._timeout):
            async with asyncio.timeout(self._timeout):
                response = await self._client.post(url, headers=headers, content=body)
                return _answer(response, response.content)

    async def aclose(self) -> None:
        """End what is under way and close every connection."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._client.aclose()


async def _in_own_task(tasks: set[asyncio.Task[T]], work: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        return await work()

    task = asyncio.create_task(run())
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # Nobody is left to hear how it ends: take its outcome, or asyncio warns of an exception never retrieved.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        raise


def _timeouts(timeout: float) -> httpx.Timeout:
    return httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))


def _limits(max_connections: int) -> httpx.Limits:
    return httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)


def _answer(response: httpx.Response, body: bytes) -> Answer:
    return Answer(response.status_code, {key.lower(): value for key, value in response.headers.items()}, body)


@contextmanager
def _our_errors(timeout: float) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ssl.SSLError, UnicodeEncodeError) as error:
        # The library's error is not chained: it holds the request, and with it the token.
        raise _translated(error, timeout) from None


def _translated(error: Exception, timeout: float) -> AltcraftError:
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        why = next(cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)).verify_message
        return CertificateError(
            f"the server's TLS certificate cannot be trusted ({why}): give its CA file as 'verify', or mend the host"
        )
    match error:
        case httpx.ConnectTimeout():
            return RequestTimeoutError(f"no connection within {min(timeout, CONNECT_TIMEOUT):g} s; nothing was sent")
        case httpx.TimeoutException() | TimeoutError():
            return RequestTimeoutError(f"no whole answer within {timeout:g} s")
        case httpx.ConnectError() | httpx.ProxyError():
            return ConnectError(f"could not connect, so nothing was sent: {_why(causes)}")
        case httpx.DecodingError():
            return UnreadableAnswerError("the answer's compression is broken")
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError() | UnicodeEncodeError():
            return RequestError(
                f"the request cannot be sent: {type(error).__name__}; look at the connection's host and token"
            )
        case _:
            return NetworkError(f"the connection broke before the answer was whole: {_why(causes)}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _why(causes: list[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return "no such host"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection was refused"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or type(cause).__name__})"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "the server reset the connection"
    return f"{causes[0]}" or type(causes[0]).__name__
