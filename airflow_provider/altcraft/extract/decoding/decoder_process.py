"""Responses read on a second core, by a process that ends with this one however it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from contextlib import suppress
from typing import TypeAlias

import msgspec
import pyarrow as pa  # noqa: TID253 - only a running pull imports this module

from airflow_provider.altcraft.extract.decoding.decoder_main import LENGTHS, Common, Item, frame
from airflow_provider.altcraft.schema import SCHEMA, KeyBy
from airflow_provider.altcraft.window import Window

log = logging.getLogger(__name__)

_TOGETHER = 8
_LARGE = 4 << 20
"""Responses of a group, at most, and bytes of one that is read here, as a copy of it would be too much."""
_UNDER_WAY = 2
"""Groups sent and not answered yet: while one is read, the next is there."""
_START = 30.0
_END = 5.0
"""Seconds that the process may take to start, and to end by itself."""
_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from airflow_provider.altcraft.extract.decoding.decoder_main import main; main()"
)

_Waiting: TypeAlias = "tuple[Item, bytes, asyncio.Future[pa.RecordBatch | None]]"


class DecoderProcess:
    """Reads the responses of one pull as ``decoder.fast_batch`` does, in a process of its own.

    It gets responses through a socket, and ends when that is closed: by this class, or by the system where the task is
    killed. Where it ends before, the caller reads by itself.

    Args:
        window: which rows to keep.
        list_id: the database that is asked.
        by: see ``schema.identities_of``.
    """

    def __init__(self, window: Window, list_id: int, by: KeyBy) -> None:
        bounds = window.to_json()
        self._common = Common((bounds["start"], bounds["end"]), list_id, by)
        self._waiting: deque[_Waiting] = deque()
        self._sent: deque[list[_Waiting]] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._running: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.ready = False

    def start(self) -> None:
        """Start it; it is ``ready`` some time later, or never. Until then, the caller reads."""
        self._running = asyncio.create_task(self._run())

    async def read(self, matching: str, lookup: str, content_type: str, body: bytes) -> pa.RecordBatch | None:
        """The rows of a response within the window; ``None`` where the caller has to read it."""
        if not self.ready or len(body) > _LARGE:
            return None
        future: asyncio.Future[pa.RecordBatch | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((Item(len(body), content_type, matching, lookup), body, future))
        self._send()
        return await future

    async def aclose(self) -> None:
        """End the process."""
        if self._running:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _run(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await asyncio.to_thread(self._popen, theirs)
            reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=1 << 22)
            self._writer.write(frame(self._common))
            async with asyncio.timeout(_START):
                await self._next(reader)
            self.ready = True
            log.info("Reads large responses in a process of its own from now on, on a second core")
            while True:
                lengths, batches = await self._next(reader)
                self._give(msgspec.msgpack.decode(lengths, type=list[int]), batches)
                self._send()
        except (OSError, EOFError, TimeoutError) as error:
            failed = error
        finally:
            self.ready = False
            if self._writer:
                self._writer.close()
            ours.close()
            for _, _, future in [*self._waiting, *(each for group in self._sent for each in group)]:
                if not future.done():
                    future.set_result(None)
            code = await asyncio.shield(asyncio.to_thread(_end, self._process)) if self._process else None
        log.warning(
            "The process that reads large responses ended (%s, exit code %s): the task reads them itself from now on",
            type(failed).__name__,
            code,
        )

    def _popen(self, link: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - this interpreter, with code of ours
            [sys.executable, "-c", _CODE, json.dumps(sys.path)],
            stdin=link.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def _next(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        head, rest = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
        return await reader.readexactly(head), await reader.readexactly(rest)

    def _send(self) -> None:
        while self._writer and self._waiting and len(self._sent) < _UNDER_WAY:
            group = [self._waiting.popleft() for _ in range(min(_TOGETHER, len(self._waiting)))]
            self._sent.append(group)
            self._writer.write(frame([item for item, _, _ in group], [body for _, body, _ in group]))

    def _give(self, lengths: list[int], batches: bytes) -> None:
        whole, at = pa.py_buffer(batches), 0
        for length, (_, _, future) in zip(lengths, self._sent.popleft(), strict=True):
            batch = pa.ipc.read_record_batch(whole.slice(at, length), SCHEMA) if length else None
            at += length
            if not future.done():  # nobody cancelled it
                future.set_result(batch)


def _end(process: subprocess.Popen[bytes]) -> int:
    """Wait for its end, and see to it; its exit code."""
    try:
        return process.wait(_END)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
