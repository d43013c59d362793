"""Requests over bare sockets: the fastest client there can be in Python, and so the measure of the server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.answers import email_of


class Connection(asyncio.Protocol):
    """One connection that asks for one profile after the other, and hands on the bodies."""

    transport: asyncio.Transport

    def __init__(self, host: str, numbers: Iterator[int], take: Callable[[int, bytes], None]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._host, self._numbers, self._take = host, numbers, take
        self._got: list[bytes] = []
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not of its kind by name
        self._ask()

    def _ask(self) -> None:
        self._number = next(self._numbers, -1)
        if self._number < 0:
            self.done.set_result(None)
            self.transport.close()
            return
        body = json.dumps({"token": "t", "list_id": 1, "matching": "email", "email": email_of(self._number)}).encode()
        head = b"POST /api/v1.1/subscribers/history_get HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % (self._host.encode(), len(body)) + body)

    def data_received(self, data: bytes) -> None:
        """Gather a body; the server sends the head within the first piece."""
        if not self._got:
            end = data.index(b"\r\n\r\n") + 4
            head = data[:end].lower()
            begin = head.index(b"content-length:") + 15
            self._left = int(head[begin : head.index(b"\r\n", begin)])
            data = data[end:]
        self._got.append(data)
        self._left -= len(data)
        if not self._left:
            body = b"".join(self._got)
            self._got = []
            self._take(self._number, body)
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell where it broke."""
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed it"))


def fetch(url: str, numbers: Iterable[int], connections: int, take: Callable[[int, bytes], None]) -> None:
    """Ask for each profile; ``take`` gets its number and the body, in whatever order they come."""
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or 80

    async def run() -> None:
        loop = asyncio.get_running_loop()
        waiting = iter(numbers)
        made = [
            await loop.create_connection(lambda: Connection(address.netloc, waiting, take), host, port)
            for _ in range(connections)
        ]
        await asyncio.gather(*(connection.done for _, connection in made))

    uvloop.run(run())


def ceiling(url: str, profiles: int, connections: int, seconds: float) -> tuple[float, int]:
    """Answers a second that the server can give, with nothing done to them, and the length of one in bytes."""
    started = time.perf_counter()
    count = length = 0

    def numbers() -> Iterator[int]:
        while time.perf_counter() - started < seconds:
            yield from range(min(profiles, 64))

    def take(_: int, body: bytes) -> None:
        nonlocal count, length
        count += 1
        length = len(body)

    fetch(url, numbers(), connections, take)
    return count / (time.perf_counter() - started), length
