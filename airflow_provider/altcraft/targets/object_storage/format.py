r"""Encodes batches as Parquet, JSON Lines and CSV, plain or compressed, by suffix.

The same rows give the same bytes, however they were cut into batches, so a rerun can be compared with what it
replaces.

All formats hold the same schema: ``datetime`` is ISO 8601 in UTC with six decimals and a ``Z`` where the format has
no type for it, and ``extra`` is a string of JSON. A line of JSON has every column, null included. Lines end in ``\n``
and only there: U+2028 and its like stand in strings as they are, so cut by ``\n``, not by ``str.splitlines``. In CSV
every string is quoted and null is not, so an empty field is null and ``""`` is an empty string. To read it so:

- pyarrow: ``read_csv(file, parse_options=ParseOptions(newlines_in_values=True), convert_options=ConvertOptions(
  column_types=SCHEMA, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False))``
- PostgreSQL: ``COPY … (FORMAT csv, HEADER)``, as it is
- DuckDB: ``read_csv(…, nullstr = '', allow_quoted_nulls = false)``
"""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as pc  # noqa: TID253 - likewise
from pydantic_core import to_json

from airflow_provider.altcraft._arrow import text_scalar
from airflow_provider.altcraft.schema import SCHEMA, check_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROW_GROUP = 20_000
"""Rows of a row group. With 100,000, files were 16 % smaller, but a pull took 35 to 95 MB more memory."""

_LINES = 10_000  # rows that are text at once
_BLOCK_BYTES = 64 << 20
_LOOSE = 256

_TEXT_SCHEMA = pa.schema(
    [
        pa.field(field.name, pa.string(), nullable=field.nullable) if pa.types.is_timestamp(field.type) else field
        for field in SCHEMA
    ]
)


_PYARROWS_OWN: dict[str, Any] = {
    "version": "2.6",
    "data_page_version": "1.0",
    "use_dictionary": True,
    "write_statistics": True,
    "writer_engine_version": "V2",
}
"""Defaults of ``pyarrow.parquet.ParquetWriter``."""


class _Format(Protocol):
    """One way to write tables; ``rows`` is how many it is given at a time."""

    rows: int

    def __init__(self, out: Any) -> None: ...
    def table(self, table: pa.Table) -> None: ...
    def close(self) -> None: ...


class _Parquet:
    rows = ROW_GROUP

    def __init__(self, out: Any) -> None:
        self._writer = _parquet_writer()(out, SCHEMA, compression="zstd", **_PYARROWS_OWN)

    def table(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=ROW_GROUP)

    def close(self) -> None:
        self._writer.close()


class _JsonLines:
    rows = _LINES

    def __init__(self, out: Any) -> None:
        self._out = out

    def table(self, table: pa.Table) -> None:
        self._out.write(b"".join(to_json(row) + b"\n" for row in _as_text(table).to_pylist()))

    def close(self) -> None:
        pass


class _Csv:
    rows = _LINES

    def __init__(self, out: Any) -> None:
        import pyarrow.csv as pa_csv

        # "needed" quotes every string there is and no null, which tells the two apart.
        self._writer = pa_csv.CSVWriter(out, _TEXT_SCHEMA, write_options=pa_csv.WriteOptions(quoting_style="needed"))

    def table(self, table: pa.Table) -> None:
        self._writer.write_table(_as_text(table))

    def close(self) -> None:
        self._writer.close()


_FORMATS: dict[str, type[_Format]] = {
    ".parquet": _Parquet,
    ".jsonl": _JsonLines,
    ".ndjson": _JsonLines,
    ".csv": _Csv,
}


class Encoder:
    """Encodes batches of any size into pieces for ``write``, never all in memory."""

    def __init__(self, suffix: str, write: Callable[[bytes], object]) -> None:
        name, _, packing = suffix[1:].partition(".")
        self._drain = _Drain(write)
        self._packed = _pack(packing, self._drain)
        self._format = _FORMATS["." + name](self._packed)
        self._blocks = _Blocks(self._format.rows)

    def write(self, batch: pa.RecordBatch) -> None:
        """Encode as many rows as fill whole blocks, and keep the rest."""
        check_schema(batch)
        for table in self._blocks.add(batch):
            self._format.table(table)

    def finish(self) -> int:
        """Encode the remaining rows and the end of the format; return the bytes written in all."""
        for table in self._blocks.rest():
            self._format.table(table)
        self._format.close()
        if self._packed is not self._drain:
            self._packed.close()
        return self._drain.size

    def drop(self) -> None:
        """Stop all output: pyarrow and gzip write the end of the format even when they are garbage-collected."""
        self._drain.stop()


class _Drain(io.RawIOBase):
    """A file object for pyarrow and gzip that calls a function; closing it does nothing."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write: Callable[[bytes], object] | None = write
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if self._write is not None:
            self._write(data)
            self.size += size
        return size

    def stop(self) -> None:
        self._write = None


def _pack(packing: str, drain: _Drain) -> Any:
    if packing == "gz":
        # Neither a time nor a name in the header, so that equal rows are equal bytes.
        return gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=drain, mtime=0)
    if packing == "zst":
        return pa.CompressedOutputStream(pa.PythonFile(drain, mode="w"), "zstd")
    return drain


class _Blocks:
    """Turns batches of any size into tables of exactly ``rows`` rows, or fewer where rows are very large."""

    def __init__(self, rows: int) -> None:
        self._size = rows
        self._chunks: list[pa.Table] = []
        self._loose: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.Table]:
        """Add a batch, and yield the blocks that are full."""
        start = 0
        while start < batch.num_rows:
            piece = batch.slice(start, self._size - self._rows)
            start += piece.num_rows
            self._loose.append(piece)
            self._rows += piece.num_rows
            self._bytes += piece.nbytes
            if len(self._loose) == _LOOSE:  # a batch of one row costs far more than its row
                self._chunks = [*self._chunks, self._gather()]
            if self._rows == self._size or self._bytes >= _BLOCK_BYTES:
                yield from self.rest()

    def rest(self) -> Iterator[pa.Table]:
        """Yield the remaining rows, if any."""
        if self._rows:
            # One chunk a column, as the borders of chunks would show in Parquet's pages.
            table = pa.concat_tables([*self._chunks, self._gather()]).combine_chunks()
            self._chunks, self._rows, self._bytes = [], 0, 0
            yield table

    def _gather(self) -> pa.Table:
        table = pa.Table.from_batches(self._loose, SCHEMA).combine_chunks()
        self._loose = []
        return table


def _parquet_writer() -> Any:
    """Return pyarrow's writer without ``pyarrow.parquet``, whose import loads the clients of four stores."""
    try:
        from pyarrow._parquet import ParquetWriter
    except ImportError:  # no part of pyarrow's documented API
        from pyarrow.parquet import ParquetWriter  # type: ignore[assignment]
    return ParquetWriter


def _as_text(table: pa.Table) -> pa.Table:
    """Write the timestamps in ISO 8601; all are UTC, so no database of time zones is needed."""
    return pa.table([_iso(c) if pa.types.is_timestamp(c.type) else c for c in table.columns], schema=_TEXT_SCHEMA)


def _iso(instants: Any) -> Any:
    text = pc.cast(pc.cast(instants, pa.timestamp("us")), pa.string())
    return pc.binary_join_element_wise(
        pc.replace_substring(text, pattern=" ", replacement="T"), text_scalar("Z"), text_scalar("")
    )
