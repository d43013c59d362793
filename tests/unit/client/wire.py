"""Servers of bytes, and the question that each of the clients asks them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow_provider.altcraft.client import AltcraftClient, AltcraftError, AsyncAltcraftClient, Retry
from airflow_provider.altcraft.client._bulk import BulkClient

TOKEN = "t0ken-t0ken"
ANN = "ann@example.com"
BODY = b'{"error": 0, "data": []}'
GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)

SLACK = 10.0
"""Seconds that a loaded machine may add to what ends in time; what does not, never ends, or far later."""

KINDS = (AltcraftClient, AsyncAltcraftClient, BulkClient)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must come, however slow the machine is."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def each(base_url: str, **options: Any) -> Any:
    """What comes of it over httpx, sync and async, and over aiohttp: the number of events, or the error's class and
    words; it must be the same, in time, and leave nothing behind.
    """
    options = {"list_id": 1, "timeout": 10.0, "outage_timeout": 0, "retry": Retry(attempts=1)} | options

    async def ask(kind: type[AsyncAltcraftClient]) -> Any:
        async with kind(base_url, TOKEN, **options) as asking:
            try:
                return len(await asking.get_history(ANN))
            except AltcraftError as error:
                return type(error).__name__, str(error)
            finally:
                assert len(asyncio.all_tasks()) == 1

    def ask_sync() -> Any:
        with AltcraftClient(base_url, TOKEN, **options) as asking:
            try:
                return len(asking.get_history(ANN))
            except AltcraftError as error:
                return type(error).__name__, str(error)

    found = []
    for run in (ask_sync, lambda: asyncio.run(ask(AsyncAltcraftClient)), lambda: asyncio.run(ask(BulkClient))):
        started = time.monotonic()
        found.append(run())
        assert time.monotonic() - started < options["timeout"] + SLACK
    assert found[0] == found[1] == found[2]
    return found[0]


class RawServer:
    """Plays a function on each connection, in a thread of its own, and keeps what was asked.

    What the function leaves open is read until the client closes it.
    """

    def __init__(self, play: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> None:
        self.play, self.tls = play, tls
        self.listener = self.listen()
        self.port = self.listener.getsockname()[1]
        self.asked: list[bytes] = []
        self._open: list[socket.socket] = []
        self.start()

    def listen(self) -> socket.socket:
        """What is served."""
        return socket.create_server(("127.0.0.1", 0))

    def start(self) -> None:
        """Serve, in a thread."""
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def open_connections(self) -> int:
        """How many are open that the client has not closed."""
        return len(self._open)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                one, _ = self.listener.accept()
                self._open.append(one)
                threading.Thread(target=self._one, args=(one,), daemon=True).start()

    def _one(self, one: socket.socket) -> None:
        wrapped = one
        with suppress(OSError):
            if self.tls:
                wrapped = self.tls.wrap_socket(one, server_side=True)
            self.play(wrapped)
        with suppress(OSError):
            while wrapped.recv(65536):
                pass
        wrapped.close()
        self._open.remove(one)

    def good(self, one: socket.socket) -> None:
        """What it plays when all is well: an answer to each request."""
        while True:
            self.read(one)
            one.sendall(GOOD)

    def read(self, one: socket.socket) -> bytes:
        """One request, whole."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some(one)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        while len(body) < length:
            body += self._some(one)
        self.asked.append(head + b"\r\n\r\n" + body)
        return self.asked[-1]

    @staticmethod
    def _some(one: socket.socket) -> bytes:
        data = one.recv(65536)
        if not data:
            raise ConnectionError("the client closed the connection")
        return data

    def stop(self) -> None:
        """Close whatever is open."""
        for one in (self.listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class Proxy(RawServer):
    """A proxy that forwards and tunnels for real, whatever host it is asked for, to one port of this machine.

    Args:
        port: where all goes.
        login: ``user:password``, without which nothing goes.
        tls: what it speaks TLS by itself, if it does.
    """

    def __init__(self, port: int, login: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._target = port
        self._wanted = login and b64encode(login.encode())
        super().__init__(self.pass_on, tls)

    def pass_on(self, client: socket.socket) -> None:
        """What it plays when all is well."""
        head, _, body = self.read(client).partition(b"\r\n\r\n")
        line, *headers = head.split(b"\r\n")
        method, place, version = line.split()
        own = [header for header in headers if header.lower().startswith(b"proxy-authorization:")]
        if self._wanted and own != [b"Proxy-Authorization: Basic " + self._wanted]:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            if method == b"CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = b"/" + place.split(b"/", 3)[3]
                kept = [header for header in headers if header not in own]
                lines = [b" ".join((method, path, version)), *kept, b"Connection: close"]
                server.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            back = threading.Thread(target=self._pump, args=(server, client))
            back.start()
            self._pump(client, server)
            back.join()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
