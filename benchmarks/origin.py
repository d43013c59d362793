"""The benchmark's platform: a server of one process that does next to nothing for an answer.

``python -m benchmarks.origin PROFILES EVENTS LATENCY_MS SHAPE`` prints its port and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import deque
from typing import Any, cast

import uvloop

from benchmarks.answers import Answers, Shape, number_of

DIGITS = re.compile(rb"user([0-9a-f]{8})@")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
NO_SUCH = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Later:
    """Answers that wait for their time. All wait equally long, so they are due in the order in which they came."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, asyncio.WriteTransport, bytes]] = deque()

    def send(self, transport: asyncio.WriteTransport, answer: bytes) -> None:
        """Send the answer when it is due."""
        if not self._seconds:
            transport.write(answer)
            return
        if not self._waiting:
            self._sleep(self._seconds)
        self._waiting.append((self._loop.time() + self._seconds, transport, answer))

    def _sleep(self, seconds: float) -> None:
        # The loop's timers count whole milliseconds: it is woken one early, and looks again and again until it is time.
        self._loop.call_later(max(0.0, seconds - 0.001), self._due)

    def _due(self) -> None:
        waiting = self._waiting
        while waiting and waiting[0][0] <= self._loop.time():
            _, transport, answer = waiting.popleft()
            if not transport.is_closing():
                transport.write(answer)
        if waiting:
            left = waiting[0][0] - self._loop.time()
            if left > 0.001:
                self._sleep(left)
            else:
                self._loop.call_soon(self._due)


class Connection(asyncio.Protocol):
    """Reads requests and answers each; as HTTP/1.1 wants it, one after the other."""

    transport: asyncio.Transport

    def __init__(self, answers: Answers, later: Later) -> None:
        self._answers, self._later = answers, later
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not of its kind by name

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self._got, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._got) < whole:
                return
            head, body = self._got[:end], self._got[end + 4 : whole]
            self._got = self._got[whole:]
            self._later.send(self.transport, self._answer(head, body))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if b"history_get_all" in head:
            asked: dict[str, Any] = json.loads(body)
            return self._answers.page(
                asked["date_from"], asked["date_to"], asked.get("from_id") or "", asked.get("limit") or 1000
            )
        found = DIGITS.search(body)
        if found is None or b"history_get" not in head:
            return NO_SUCH
        return self._answers.history(number_of(found[1]))


async def serve(answers: Answers, latency: float) -> None:
    """Print the port, and serve until the input ends."""
    loop = asyncio.get_running_loop()
    later = Later(latency)
    server = await loop.create_server(lambda: Connection(answers, later), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main(profiles: str, events: str, latency_ms: str, shape: Shape) -> None:
    """Serve as the arguments say."""
    uvloop.run(serve(Answers(int(profiles), int(events), shape), float(latency_ms) / 1000))


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
