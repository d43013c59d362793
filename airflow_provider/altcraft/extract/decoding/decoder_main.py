"""The process that ``DecoderProcess`` starts: reads responses from its standard input until that ends.

Frames go both ways: the lengths of their two parts, a head in MessagePack, and bytes. First comes a head that says what
all responses have in common, and is answered by an empty frame. Then each frame holds a group of responses: their
lookups in its head, their bodies in its bytes. The answer holds the length of each batch, 0 for a response that the
caller has to read by itself.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from airflow_provider.altcraft.extract.decoding.decoder import fast_batch
from airflow_provider.altcraft.extract.decoding.rows import RowReader
from airflow_provider.altcraft.schema import KeyBy
from airflow_provider.altcraft.window import Window

LENGTHS = struct.Struct("<II")
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


def frame(head: object, parts: Sequence[Any] = ()) -> bytes:
    """A head and bytes, with their lengths before them."""
    packed = msgspec.msgpack.encode(head)
    return b"".join((LENGTHS.pack(len(packed), sum(map(len, parts))), packed, *parts))


def main() -> None:
    """Read responses until the input ends, or who started this process is no longer there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the task, which then closes the input
    parent = os.getppid()
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as link, suppress(EOFError, OSError):
        group = _Group(msgspec.msgpack.decode(_next(link, parent)[0], type=Common))
        link.sendall(frame(None))
        while True:
            link.sendall(group.read(*_next(link, parent)))


def _next(link: socket.socket, parent: int) -> tuple[memoryview, memoryview]:
    """The parts of the next frame."""
    # The other end may be open in a process that was forked from a task that is no longer there.
    while not select.select([link], [], [], _ORPHANED)[0]:
        if os.getppid() != parent:
            raise EOFError
    head, rest = LENGTHS.unpack(_receive(link, LENGTHS.size))
    return _receive(link, head), _receive(link, rest)


def _receive(link: socket.socket, size: int) -> memoryview:
    data = memoryview(bytearray(size))
    left = data
    while left:
        count = link.recv_into(left)
        if not count:
            raise EOFError
        left = left[count:]
    return data


class _Group:
    """Reads groups of responses of one pull."""

    def __init__(self, common: Common) -> None:
        start, end = common.window
        self._how: dict[str, Any] = {"list_id": common.list_id, "by": common.by}
        self._window = Window.of(start, end)
        self._rows = RowReader()
        self._items = msgspec.msgpack.Decoder(list[Item])

    def read(self, head: memoryview, bodies: memoryview) -> bytes:
        """The frame that answers one."""
        parts: list[Any] = []
        at = 0
        for item in self._items.decode(head):
            parts.append(self._batch(item, bodies[at : at + item.length]))
            at += item.length
        return frame([len(part) for part in parts], parts)

    def _batch(self, item: Item, body: memoryview) -> Any:
        # Whatever is wrong, the caller finds it again, and says so.
        try:
            sent = self._rows.read(body, item.content_type)
            if sent is None or not sent.data:
                return b""
            batch = fast_batch(sent.data, self._window, matching=item.matching, lookup=item.lookup, **self._how)
        except Exception:
            return b""
        return b"" if batch is None else batch.serialize()
