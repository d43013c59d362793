"""Reads responses on a second core, in a process that ends with this one."""

from __future__ import annotations

import asyncio
import json
import logging
import mmap
import os
import socket
import subprocess
import sys
import tempfile
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa  # noqa: TID253 - only a running pull imports this module

from airflow_provider.altcraft.extract.decoding.decoder_main import (
    HALF,
    LENGTH,
    SLOTS,
    Batches,
    Common,
    Group,
    Item,
    frame,
)
from airflow_provider.altcraft.schema import SCHEMA, KeyBy
from airflow_provider.altcraft.window import Window

log = logging.getLogger(__name__)

_TOGETHER = 8
"""Responses of a group, at most."""
_START = 30.0
_END = 5.0
"""Seconds that the process may take to start, and to end."""
_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from airflow_provider.altcraft.extract.decoding.decoder_main import main; main(int(sys.argv[2]))"
)

_Waiting: TypeAlias = "tuple[Item, bytes, asyncio.Future[pa.RecordBatch | None]]"


class DecoderProcess:
    """Reads the responses of one pull by ``decoder.fast_batch`` in another process.

    That process ends when its socket is closed: by this class, or by the system where the task is killed. Where it ends
    earlier, the caller reads the responses itself.

    Args:
        window: of the rows to keep.
        list_id: the database that is asked.
        by: see ``schema.identities_of``.
    """

    def __init__(self, window: Window, list_id: int, by: KeyBy) -> None:
        bounds = window.to_json()
        self._common = Common((bounds["start"], bounds["end"]), list_id, by)
        self._waiting: deque[_Waiting] = deque()
        self._sent: dict[int, list[_Waiting]] = {}
        self._free = list(range(SLOTS))
        self._memory: mmap.mmap | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._running: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.ready = False

    def start(self) -> None:
        """Start the process; until it is ``ready``, if ever, the caller reads the responses itself."""
        self._running = asyncio.create_task(self._run())

    async def read(self, matching: str, lookup: str, content_type: str, body: bytes) -> pa.RecordBatch | None:
        """Return the rows of a response within the window; ``None`` where the caller must read it."""
        if not self.ready or len(body) > HALF:
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
                self._process = self._popen(theirs)
            reader, self._writer = await asyncio.open_unix_connection(sock=ours)
            self._writer.write(frame(self._common))
            async with asyncio.timeout(_START):
                await self._next(reader)
            self.ready = True
            log.info("Reads large responses in a process of its own from now on, on a second core")
            while True:
                self._give(msgspec.msgpack.decode(await self._next(reader), type=Batches))
                self._send()
        except (OSError, EOFError, TimeoutError) as error:
            failed = error
        finally:
            self.ready = False
            if self._writer:
                self._writer.close()
            ours.close()
            if self._memory:
                self._memory.close()
            for _, _, future in [*self._waiting, *(each for group in self._sent.values() for each in group)]:
                if not future.done():
                    future.set_result(None)
            code = await asyncio.shield(asyncio.to_thread(_end, self._process)) if self._process else None
        log.warning(
            "The process that reads large responses ended (%s, exit code %s): the task reads them itself from now on",
            type(failed).__name__,
            code,
        )

    def _popen(self, link: socket.socket) -> subprocess.Popen[bytes]:
        with _memory() as file:
            os.ftruncate(file.fileno(), SLOTS * 2 * HALF)
            self._memory = mmap.mmap(file.fileno(), SLOTS * 2 * HALF)
            return subprocess.Popen(  # noqa: S603 - this interpreter, with code of ours
                [sys.executable, "-c", _CODE, json.dumps(sys.path), str(file.fileno())],
                stdin=link.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[file.fileno()],
            )

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        return await reader.readexactly(length)

    def _send(self) -> None:
        while self._writer and self._memory and self._waiting and self._free:
            slot, group, size = self._free.pop(), list[_Waiting](), 0
            begin = slot * 2 * HALF
            while self._waiting and len(group) < _TOGETHER and size + self._waiting[0][0].length <= HALF:
                item, body, _ = self._waiting[0]
                self._memory[begin + size : begin + size + item.length] = body
                size += item.length
                group.append(self._waiting.popleft())
            self._sent[slot] = group
            self._writer.write(frame(Group(slot, [item for item, _, _ in group])))

    def _give(self, found: Batches) -> None:
        assert self._memory  # noqa: S101 - it is open as long as answers come
        at = found.slot * 2 * HALF + HALF
        whole = pa.py_buffer(self._memory[at : at + sum(found.lengths)])
        at = 0
        for length, (_, _, future) in zip(found.lengths, self._sent[found.slot], strict=True):
            batch = pa.ipc.read_record_batch(whole.slice(at, length), SCHEMA) if length else None
            at += length
            if not future.done():  # nobody cancelled it
                future.set_result(batch)
        del self._sent[found.slot]
        self._free.append(found.slot)


def _memory() -> Any:
    """Open a file without a name, in memory where the system supports it; it vanishes with its last process."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("altcraft"), "r+b")
    return tempfile.TemporaryFile(prefix="altcraft-")


def _end(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of the process, or kill it, and return its exit code."""
    try:
        return process.wait(_END)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> float:
    """Return the number of cores that this process may use.

    Args:
        quota: Linux's file of a container's quota: microseconds, or ``max``, in each period.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        most, period = quota.read_text().split()
        return min(count, int(most) / int(period))  # "max" is no number
    return count
