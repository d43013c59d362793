"""The process that ``DecoderProcess`` starts: reads responses until its standard input, a socket, is closed.

Bodies and batches pass through memory that both have; what stands there is said in frames over the socket, a length and
a message in MessagePack each. First comes what all responses have in common, answered by an empty message. Then each
message names a slot of the memory and the responses of a group, whose bodies stand in it one after the other. The
answer names the slot, in whose other half the batches stand, and the length of each: 0 for a response that the caller
has to read by itself.
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
"""Groups that are under way at most, and bytes of their bodies and of their batches: while one group is read, the next
one is there."""
_ORPHANED = 5.0
"""Seconds after which a process that hears nothing looks whether who started it is still there."""


class Common(msgspec.Struct):
    """What all responses of a pull have in common: see ``decoder.fast_batch``."""

    window: tuple[str | None, str | None]
    list_id: int
    by: KeyBy


class Item(msgspec.Struct, array_like=True):
    """One response: how many bytes its body has, its ``Content-Type``, and by what its profile was looked up."""

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
    """A message with its length before it."""
    packed = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(packed)) + packed


def main(descriptor: int) -> None:
    """Read responses until the input ends, or who started this process is no longer there.

    Args:
        descriptor: of the memory.
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
    # The other end may be open in a process that was forked from a task that is no longer there.
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
        # Whatever is wrong, the caller finds it again, and says so.
        try:
            sent = self._rows.read(body, item.content_type)
            if sent is None or not sent.data:
                return None
            batch = fast_batch(sent.data, self._window, matching=item.matching, lookup=item.lookup, **self._how)
        except Exception:
            return None
        return None if batch is None else batch.serialize()
