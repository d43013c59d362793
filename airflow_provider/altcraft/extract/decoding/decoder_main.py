"""The process of ``DecoderProcess``: reads responses until its standard input, a socket, is closed.

Bodies and batches pass through shared memory, which messages over the socket describe: a length, then MessagePack. The
first message is ``Common``, answered by an empty message. Then each ``Group`` names a slot of the memory and the
responses whose bodies are in its first half, one after the other. The answer ``Batches`` names the slot and the length
of each batch in its second half: 0 for a response that the caller must read itself.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

import msgspec

from airflow_provider.altcraft.extract.decoding.decoder import fast_batch
from airflow_provider.altcraft.extract.decoding.rows import RowReader
from airflow_provider.altcraft.schema import KeyBy
from airflow_provider.altcraft.window import Window

LENGTH = struct.Struct("<I")
SLOTS, HALF = 3, 1 << 20
"""Groups under way, at most, so that the next one is there when one has been read; bytes of each half of a slot."""
_ORPHANED = 5.0
"""Seconds without a message after which the process checks whether its parent still lives."""


class Common(msgspec.Struct):
    """The arguments of ``decoder.fast_batch`` that all responses of a pull share."""

    window: tuple[str | None, str | None]
    list_id: int
    by: KeyBy


class Item(msgspec.Struct, array_like=True):
    """One response: the length of its body, its ``Content-Type``, and the lookup of its profile."""

    length: int
    content_type: str
    matching: str
    lookup: str


class Group(msgspec.Struct, array_like=True):
    """Responses in a slot."""

    slot: int
    items: list[Item]


class Batches(msgspec.Struct, array_like=True):
    """The lengths of batches in a slot."""

    slot: int
    lengths: list[int]


def frame(message: object) -> bytes:
    """Return a message with its length before it."""
    packed = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(packed)) + packed


def main(descriptor: int) -> None:
    """Read responses until the input ends or the parent process dies.

    Args:
        descriptor: of the shared memory.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the task, which then closes the input
    parent = os.getppid()
    memory = memoryview(mmap.mmap(descriptor, SLOTS * 2 * HALF))
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as link, suppress(EOFError, OSError):
        reader = _GroupReader(memory, msgspec.msgpack.decode(_next(link, parent), type=Common))
        link.sendall(frame(None))
        groups = msgspec.msgpack.Decoder(Group)
        while True:
            link.sendall(frame(reader.read(groups.decode(_next(link, parent)))))


def _next(link: socket.socket, parent: int) -> bytes:
    # A process that was forked from the task may keep the other end open after the task's death.
    while not select.select([link], [], [], _ORPHANED)[0]:
        if os.getppid() != parent:
            raise EOFError
    (length,) = LENGTH.unpack(_receive(link, LENGTH.size))
    return _receive(link, length)


def _receive(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        some = link.recv(size - len(data))
        if not some:
            raise EOFError
        data += some
    return data


class _GroupReader:
    """Reads groups of responses of one pull."""

    def __init__(self, memory: memoryview, common: Common) -> None:
        start, end = common.window
        self._memory = memory
        self._how: dict[str, Any] = {"list_id": common.list_id, "by": common.by}
        self._window = Window.of(start, end)
        self._rows = RowReader()

    def read(self, group: Group) -> Batches:
        at = group.slot * 2 * HALF
        to, end = at + HALF, at + 2 * HALF
        lengths = []
        for item in group.items:
            batch = self._batch(item, self._memory[at : at + item.length])
            at += item.length
            length = 0 if batch is None or batch.size > end - to else batch.size
            if length:
                self._memory[to : to + length] = memoryview(batch).cast("B")
            to += length
            lengths.append(length)
        return Batches(group.slot, lengths)

    def _batch(self, item: Item, body: memoryview) -> Any:
        # The caller reads the response again, and reports the error.
        try:
            sent = self._rows.read(body, item.content_type)
            if sent is None or not sent.data:
                return None
            batch = fast_batch(sent.data, self._window, matching=item.matching, lookup=item.lookup, **self._how)
        except Exception:
            return None
        return None if batch is None else batch.serialize()
