"""Each fault of the network through each of our transports: httpx, sync and async, and aiohttp.

Wanted of each row: the same error of ours, in time, no connection, descriptor or task left, and the next request on the
same client is fine.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import gzip
import socket
import ssl
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import trustme

from airflow_provider.altcraft.client import AltcraftClient, AltcraftError, Retry
from airflow_provider.altcraft.client import _errors as errors
from airflow_provider.altcraft.client.transport import _httpx
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.client.wire import ANN, BODY, GOOD, KINDS, TOKEN, Proxy, RawServer, descriptors, until

SOON = 1.0
"""Seconds of a time-out that a row waits for; that of the others is longer than they may take."""
LATE = 30.0
HEAD, LARGE = GOOD[:25], b"HTTP/1.1 200 OK\r\ncontent-length: 400000\r\n\r\n" + b" " * 200_000
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n"


# Plays: what a server does on a connection. What they leave open it holds open until the client closes.

Play = Callable[[RawServer, socket.socket], None]


def reset(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def at_once(end: Callable[[socket.socket], None]) -> Play:
    return lambda server, one: end(one)


def after(sent: bytes, end: Callable[[socket.socket], None] = lambda one: None, *, good: int = 0) -> Play:
    """So many good answers; then a request is read, bytes are sent, and the end comes."""

    def play(server: RawServer, one: socket.socket) -> None:
        for _ in range(good):
            server.read(one)
            one.sendall(GOOD)
        server.read(one)
        one.sendall(sent)
        end(one)

    return play


def during_request(server: RawServer, one: socket.socket) -> None:
    one.recv(20)
    reset(one)


def idle_close(server: RawServer, one: socket.socket) -> None:
    server.read(one)
    one.sendall(GOOD)
    one.close()


def then_good(sent: bytes) -> Play:
    """An answer of these bytes; then all is well on the same connection."""

    def play(server: RawServer, one: socket.socket) -> None:
        server.read(one)
        one.sendall(sent)
        server.good(one)

    return play


def no_tls(server: RawServer, one: socket.socket) -> None:
    one.recv(65536)
    one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def packed(encoding: str, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n%b" % (
        encoding.encode(),
        len(body),
        body,
    )


close = socket.socket.close


class Full(RawServer):
    """Nobody accepts, until ``open`` is called."""

    def listen(self) -> socket.socket:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        self.queued = [socket.socket() for _ in range(4)]
        for one in self.queued:  # they fill the queue, and the system drops who comes next
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        return listener

    def start(self) -> None:
        """Not yet."""

    def open(self) -> None:
        """Accept from now on."""
        for one in self.queued:
            one.close()
        self.listener.listen(128)
        super().start()
        with socket.create_connection(("127.0.0.1", self.port), timeout=20):
            pass


@dataclass(frozen=True)
class Row:
    """A fault and what is expected of it.

    Attributes:
        play: what the server does; or a fault of the emulator's.
        error: class of the error, or what it derives from where they may differ; empty where the request is fine.
        words: what its text says.
        tls: how the server speaks TLS, by its name in ``contexts``; empty for not at all. Fixed, it is ``good``.
        scheme: how the client speaks to it.
        first: whether a good request goes before.
        through: whether the server is a proxy, which tunnels once it is fixed.
        size: bytes of the request.
        alike: whether the three say it in the same words.
    """

    play: Any
    error: str = ""
    words: str = ""
    tls: str = ""
    scheme: str = "http"
    timeout: float = LATE
    first: bool = False
    through: bool = False
    size: int = 1
    alike: bool = True
    server: type[RawServer] = RawServer


LATER = ("RequestTimeoutError", "no whole answer within 1 s")
UNCONNECTED = ("RequestTimeoutError", "no connection within 1 s; nothing was sent")
BROKE = ("NetworkError", "broke before the answer was whole: ")
RESET = ("NetworkError", "broke before the answer was whole: the server reset the connection")
CLOSED = ("NetworkError", "broke before the answer was whole: the server closed it")
UNSENT = ("ConnectError", "nothing was sent")
NO_TLS = ("ConnectError", "nothing was sent: TLS failed")
REFUSED = ("ConnectError", "nothing was sent: the proxy refused")
BROKEN = ("UnreadableAnswerError", "the answer's compression is broken")
soon: dict[str, Any] = {"timeout": SOON}
tls: dict[str, Any] = {"scheme": "https"}
TUNNEL: dict[str, Any] = {"scheme": "https", "through": True, "server": Proxy}

TABLE = {
    "time: nobody accepts": Row(at_once(close), *UNCONNECTED, server=Full),
    "time: the handshake stalls": Row(after(b""), *UNCONNECTED, **tls),
    "time: no byte": Row(after(b""), *LATER, **soon),
    "time: during the headers": Row(after(HEAD), *LATER, **soon),
    "time: during the body": Row(after(GOOD[:-5]), *LATER, **soon),
    "time: during a large body": Row(after(LARGE), *LATER, **soon),
    "time: on a connection used before": Row(after(b"", good=1), *LATER, **soon, first=True),
    "time: drip of the headers": Row(faults.drip_headers(20), *LATER, **soon),
    "time: drip of the body": Row(faults.drip(5), *LATER, **soon),
    "time: no byte through TLS": Row(after(b""), *LATER, **soon, **tls, tls="good"),
    # Reported once, to the one that is there first: who connects, or sends (who then reads finds an end), or reads.
    "reset: when connected": Row(at_once(reset), "NetworkError", "the server ", alike=False),
    "reset: during the request": Row(during_request, *BROKE, alike=False, size=5_000_000),
    "reset: before the answer": Row(after(b"", reset), *RESET),
    "reset: during the headers": Row(after(HEAD, reset), *RESET),
    "reset: during the body": Row(faults.reset_during_body(5), *RESET),
    "reset: during a large body": Row(after(LARGE, reset), *RESET),
    "reset: during the handshake": Row(at_once(reset), *UNSENT, **tls, alike=False),
    "reset: during the body through TLS": Row(after(GOOD[:-5], reset), *BROKE, **tls, tls="good", alike=False),
    "closed: when connected": Row(at_once(close), *BROKE, alike=False),
    "closed: before the answer": Row(after(b"", close), *CLOSED),
    "closed: during the headers": Row(after(HEAD, close), *CLOSED),
    "closed: during the body": Row(after(GOOD[:-5], close), *CLOSED),
    "closed: during a large body": Row(after(LARGE, close), *CLOSED),
    "closed: during chunks": Row(after(CHUNKED + b"abc", close), *CLOSED),
    "closed: during the handshake": Row(at_once(close), *UNSENT, **tls, alike=False),
    "closed: during the body through TLS": Row(
        after(GOOD[:-5], close), *BROKE, **tls, tls="good"
    ),
    "stale: closed before the next": Row(idle_close, first=True),
    "stale: closed as the next goes": Row(after(b"", close, good=1), *CLOSED, first=True),
    "stale: reset as the next goes": Row(after(b"", reset, good=1), *RESET, first=True),
    "headers of 90 kB": Row(faults.big_headers(90_000)),
    "gzip: broken": Row(faults.bad_gzip(), *BROKEN),
    "gzip: cut off": Row(then_good(packed("gzip", gzip.compress(BODY)[:-6])), *BROKEN),
    "gzip: without its end": Row(then_good(packed("gzip", gzip.compress(BODY)[:-8])), *BROKEN),
    "deflate: cut off": Row(then_good(packed("deflate", zlib.compress(BODY)[:-6])), *BROKEN),
    "TLS: another's name": Row(after(GOOD), "CertificateError", "127.0.0.1", **tls, tls="name"),
    "TLS: expired": Row(after(GOOD), "CertificateError", "expired", **tls, tls="expired"),
    "TLS: unknown authority": Row(after(GOOD), "CertificateError", "local issuer", **tls, tls="unknown"),
    "TLS: none there": Row(no_tls, *NO_TLS, **tls),
    "TLS: where none is spoken": Row(after(GOOD), *BROKE, tls="good", alike=False),
    "proxy: refuses the tunnel": Row(after(b"HTTP/1.1 502 no\r\ncontent-length: 0\r\n\r\n"), *REFUSED, **TUNNEL),
    "proxy: wants a login": Row(after(b"HTTP/1.1 407 no\r\n\r\n", close), "BadRequestError", "HTTP 407", **TUNNEL),
    "proxy: no byte": Row(after(b""), "RequestTimeoutError", "within", **soon, **TUNNEL, alike=False),
    "proxy: closes": Row(after(b"", close), *BROKE, **TUNNEL),
    "proxy: resets": Row(after(b"", reset), *BROKE, **TUNNEL),
    "proxy: not HTTP": Row(after(b"220 mail\r\n\r\n", close), *BROKE, **TUNNEL),
    "proxy: tunnel breaks": Row(after(b"HTTP/1.1 200\r\n\r\n", close), *UNSENT, **TUNNEL, alike=False),
}  # fmt: skip


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def contexts(authority: trustme.CA) -> dict[str, ssl.SSLContext]:
    long_ago = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    issued = {
        "good": authority.issue_cert("127.0.0.1", "altcraft.invalid"),
        "name": authority.issue_cert("elsewhere.example.com"),
        "expired": authority.issue_cert("127.0.0.1", not_before=long_ago, not_after=long_ago + dt.timedelta(days=1)),
        "unknown": trustme.CA().issue_cert("127.0.0.1"),
    }
    found = {}
    for name, certificate in issued.items():
        found[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(found[name])
    return found


def behind(row: Row, contexts: dict[str, ssl.SSLContext], stack: ExitStack) -> tuple[Any, dict[str, Any], Any]:
    """A server that does it, what to make a client of, and what fixes the server."""
    if isinstance(row.play, faults.Fault):
        api = stack.enter_context(Emulator(token=TOKEN))
        api.play(row.play)
        return api, {"base_url": api.url}, lambda: None
    options: dict[str, Any] = {}
    context = contexts[row.tls] if row.tls else None
    if row.through:
        upstream = RawServer(close, contexts["good"])
        upstream.play = upstream.good
        stack.callback(upstream.stop)
        proxy = server = Proxy(upstream.port)
        well: Callable[[socket.socket], None] = proxy.pass_on
        options = {"base_url": "https://altcraft.invalid", "proxy": f"http://127.0.0.1:{server.port}"}
    else:
        server = row.server(lambda one: None, context)
        well = server.good
        options = {"base_url": f"{row.scheme}://127.0.0.1:{server.port}"}
    stack.callback(server.stop)
    server.play = lambda one: row.play(server, one)

    def fix() -> None:
        server.play = well
        server.tls = contexts["good"] if row.scheme == "https" and not row.through else None
        if isinstance(server, Full):
            server.open()

    return server, options, fix


def through(kind: Any, row: Row, options: dict[str, Any], server: Any, fix: Callable[[], None]) -> Any:
    """What comes of it by one kind of client: class and words of the error, or the number of events."""
    options = {
        "token": TOKEN,
        "list_id": 1,
        "timeout": row.timeout,
        "outage_timeout": 0,
        "retry": Retry(attempts=1),
    } | options
    profile = {"matching": "custom", "field_name": "X", "field_value": "x" * row.size}

    def words_of(error: AltcraftError) -> tuple[str, str]:
        return type(error).__name__, str(error)

    def idle() -> None:
        # It closes some time after its answer, and a request sent at that very moment breaks, as it should.
        if row.play is idle_close:  # the loop is held too: one that is busy does not hear that the server closes
            until(lambda: server.open_connections == 0)

    async def in_loop() -> Any:
        async with kind(**options) as client:
            if row.first:
                assert await client.get_history(ANN) == []
                idle()
            started = time.monotonic()
            try:
                found: Any = len(await client.get_history(profile))
            except AltcraftError as error:
                found = words_of(error)
            assert time.monotonic() - started < LATE / 2
            await asyncio.to_thread(fix)
            idle()
            assert await client.get_history(ANN) == []
            async with asyncio.timeout(10):
                while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - others' tasks
                    await asyncio.sleep(0.005)
        return found

    def in_thread() -> Any:
        with kind(**options) as client:
            if row.first:
                assert client.get_history(ANN) == []
                idle()
            started = time.monotonic()
            try:
                found: Any = len(client.get_history(profile))
            except AltcraftError as error:
                found = words_of(error)
            assert time.monotonic() - started < LATE / 2
            fix()
            idle()
            assert client.get_history(ANN) == []
        return found

    found = in_thread() if kind is AltcraftClient else asyncio.run(in_loop())
    until(lambda: server.open_connections == 0)
    return found


@pytest.fixture(scope="module", autouse=True)
def _older_objects_left_out() -> Iterator[None]:
    """A collection of garbage looks through the objects of this module, not through a large process's."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_the_same_from_each(
    row: Row, authority: trustme.CA, contexts: dict[str, ssl.SSLContext], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if row.words == UNCONNECTED[1]:
        monkeypatch.setattr(_httpx, "CONNECT_TIMEOUT", SOON)  # long before that of the whole call
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    before = descriptors()
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        runs = []
        for kind in KINDS:
            server, options, fix = behind(row, contexts, stack)
            runs.append(pool.submit(through, kind, row, options | {"verify": str(tmp_path / "ca.pem")}, server, fix))
        found = [run.result() for run in runs]
    # aiohttp 3.10, the oldest admitted, leaves some connections that failed to the garbage collector.
    until(lambda: gc.collect() >= 0 and descriptors() <= before)
    for each in found:
        if row.error:
            assert issubclass(getattr(errors, each[0]), getattr(errors, row.error)), each
            assert row.words in each[1]
        else:
            assert each == 0
    if row.alike:
        assert found[0] == found[1] == found[2]
