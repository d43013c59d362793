"""Arrow batches put aside on the local disk until a commit, for targets that take them only whole or sorted by key.

The file has no name, so it goes with its process however that ends, and no other attempt can meet it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Iterator
from types import TracebackType
from typing import Any, Self

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets._writer import room_in


class Spool:
    """Batches of ``SCHEMA`` by key, read back in the order in which they came.

    Args:
        most_held: rows of all keys that are held in memory before they are put aside.

    Raises:
        OSError: the disk of temporary files (``TMPDIR``) is full or cannot be written, at any call.
    """

    def __init__(self, most_held: int = 100_000) -> None:
        self._most_held = most_held
        self._file: Any = tempfile.TemporaryFile(prefix="altcraft-")  # noqa: SIM115 - closed by `close`
        self._held: dict[Hashable, list[pa.RecordBatch]] = {}
        self._held_rows = 0
        self._pieces: dict[Hashable, list[int]] = {}
        self.rows = 0

    def add(self, batch: pa.RecordBatch, key: Hashable = None) -> None:
        """Put a batch aside."""
        if batch.num_rows:
            self._held.setdefault(key, []).append(batch)
            self._held_rows += batch.num_rows
            self.rows += batch.num_rows
        if self._held_rows >= self._most_held:
            self._put_aside()

    def read(self, key: Hashable = None) -> Iterator[pa.RecordBatch]:
        """What was put aside under the key."""
        self._put_aside()
        for at in self._pieces.get(key, ()):
            self._file.seek(at)
            with pa.ipc.open_stream(pa.PythonFile(self._file, mode="r")) as stream:
                yield from stream

    def keys(self) -> set[Any]:
        """The keys under which rows were put aside."""
        return {*self._pieces, *self._held}

    def close(self) -> None:
        """Drop everything."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _put_aside(self) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with room_in(tempfile.gettempdir()):
            for key, batches in self._held.items():
                self._pieces.setdefault(key, []).append(self._file.seek(0, 2))
                table = pa.Table.from_batches(batches, SCHEMA).combine_chunks()
                with pa.ipc.new_stream(pa.PythonFile(self._file, mode="w"), SCHEMA, options=options) as stream:
                    stream.write_table(table)
            self._file.flush()
        self._held, self._held_rows = {}, 0


class SpoolReader:
    """What was put aside under a key, to be read more than once."""

    def __init__(self, spool: Spool, key: Hashable) -> None:
        self._spool = spool
        self._key = key

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._spool.read(self._key)
