"""A spool: Arrow batches on the local disk until a commit, for targets that take them only whole or by key.

The file has no name, so it vanishes with its process, and no other attempt can find it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Iterator
from typing import Any, Self

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets._writer import room_in

_MOST_BYTES = 64 << 20
"""Bytes of batches that are held, at most, but for the last one: 100,000 rows as most are take half of them."""


class Spool:
    """Batches of ``SCHEMA`` by key, read back in the order in which they came.

    Args:
        most_held: rows of all keys that are held in memory before they are written to the disk; fewer where they are
            large.

    Raises:
        OSError: the disk of temporary files (``TMPDIR``) is full or cannot be written, at any call.
    """

    def __init__(self, most_held: int = 100_000) -> None:
        self._most_held = most_held
        self._file: Any = tempfile.TemporaryFile(prefix="altcraft-")  # noqa: SIM115 - closed by `close`
        self._held: dict[Hashable, list[pa.RecordBatch]] = {}
        self._held_rows = self._held_bytes = 0
        self._pieces: dict[Hashable, list[int]] = {}
        self._numbers: dict[Hashable, list[pa.Array[Any]]] = {}
        self.rows = 0

    def add(self, batch: pa.RecordBatch, key: Hashable = None, numbers: pa.Array[Any] | None = None) -> None:
        """Add a batch under a key.

        Args:
            batch: rows.
            key: of all of them.
            numbers: of the rows among those of all keys, where the order across keys matters. They stay in memory.
        """
        if numbers is not None:
            self._numbers.setdefault(key, []).append(numbers)
        if batch.num_rows:
            self._held.setdefault(key, []).append(batch)
            self._held_rows += batch.num_rows
            self._held_bytes += batch.nbytes
            self.rows += batch.num_rows
        if self._held_rows >= self._most_held or self._held_bytes >= _MOST_BYTES:
            self._flush()

    def read(self, key: Hashable = None) -> Iterator[pa.RecordBatch]:
        """Yield the batches of a key."""
        self._flush()
        for at in self._pieces.get(key, ()):
            self._file.seek(at)
            with pa.ipc.open_stream(pa.PythonFile(self._file, mode="r")) as stream:
                yield from stream

    def numbers(self, key: Hashable = None) -> list[pa.Array[Any]]:
        """Return the numbers of a key's rows, in the order in which ``read`` yields these."""
        return self._numbers.get(key, [])

    def keys(self) -> set[Any]:
        """Return the keys that have rows."""
        return {*self._pieces, *self._held}

    def close(self) -> None:
        """Drop everything."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _flush(self) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with room_in(tempfile.gettempdir()):
            for key, batches in self._held.items():
                self._pieces.setdefault(key, []).append(self._file.seek(0, 2))
                table = pa.Table.from_batches(batches, SCHEMA).combine_chunks()
                with pa.ipc.new_stream(pa.PythonFile(self._file, mode="w"), SCHEMA, options=options) as stream:
                    stream.write_table(table)
            self._file.flush()
        self._held, self._held_rows, self._held_bytes = {}, 0, 0


class SpoolReader:
    """The batches of a key, which can be read more than once."""

    def __init__(self, spool: Spool, key: Hashable) -> None:
        self._spool = spool
        self._key = key

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._spool.read(self._key)
