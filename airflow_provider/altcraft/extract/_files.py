"""Rows of a file or object of profiles, one by one, with the number of each."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

ROWS = 10_000
"""Rows of Parquet decoded at once."""

Row = tuple[int, Sequence[Any]]

_SUFFIX = re.compile(r"\.(parquet|(?:csv|jsonl|ndjson)(\.(?:gz|zst|bz2))?)$")
_CODECS: dict[str, Any] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}


def check(path: str) -> None:
    """Refuse a path that cannot be read, without a look at it.

    Raises:
        ValueError: not absolute, with a password, or of an unknown suffix.
    """
    scheme, parted, rest = path.partition("://")
    if not parted and not path.startswith("/"):
        raise ValueError(f"path: {path!r} is neither absolute nor a URI such as 's3://conn_id@bucket/key.csv'")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if at and ":" in user:
        raise ValueError(f"path: there is a password in it; name a connection: '{scheme}://conn_id@bucket/key.csv'")
    if not _SUFFIX.search(path):
        raise ValueError(
            f"path: {path!r} has none of the suffixes .parquet, .csv, .jsonl and .ndjson, the last three perhaps with "
            ".gz, .zst or .bz2 behind"
        )


def rows(path: str, columns: Sequence[str], delimiter: str) -> Iterator[Row]:
    """Values of the columns; the number is that of the line, in Parquet of the row, from 1.

    Raises:
        ValueError: it is not what its suffix says, or lacks a column.
        OSError: it is not there or cannot be read.
    """
    check(path)
    kind, packed = _SUFFIX.search(path).groups()  # type: ignore[union-attr] # checked
    with ExitStack() as stack:
        file = stack.enter_context(_open(path))
        if kind == "parquet":
            yield from _parquet(file, columns, path)
            return
        if packed:
            import pyarrow as pa

            opened: Any = pa.PythonFile(file, "r")  # type: ignore[arg-type] # it reads any file
            stream: Any = stack.enter_context(pa.CompressedInputStream(opened, _CODECS[packed]))
            file = io.BufferedReader(stream, 1 << 18)
        read = _csv if kind.startswith("csv") else _json
        yield from read(_lines(file, path), columns, path, delimiter)


def _open(path: str) -> IO[bytes]:
    scheme, parted, rest = path.partition("://")
    if not parted or scheme == "file":
        return Path(rest if parted else path).open("rb")
    from airflow_provider.altcraft._reach import reach

    fs, within = reach(path)
    opened: IO[bytes] = fs.open(within, "rb")
    return opened


def _lines(file: IO[bytes], path: str) -> Iterator[str]:
    number = 0
    try:
        for number, line in enumerate(file, 1):
            text = line.decode()
            yield text.removeprefix("\ufeff") if number == 1 else text
    except UnicodeDecodeError:
        raise ValueError(f"{path}, line {number}: not UTF-8") from None
    except OSError as error:
        if not _of_content(error):
            raise
        raise ValueError(f"{path}, after line {number}: cannot be read: {error}") from error


def _of_content(error: OSError) -> bool:
    """Whether Arrow says so of bytes it cannot make sense of; the system and stores say more of what may pass."""
    return type(error) is OSError and error.errno is None


def _places(columns: Sequence[str], found: Sequence[str], path: str) -> list[int]:
    for column in columns:
        if found.count(column) != 1:
            told = "twice" if column in found else "missing"
            raise ValueError(f"{path}: column {column!r} is {told}; there are {', '.join(map(repr, found))}")
    return [found.index(column) for column in columns]


def _csv(lines: Iterator[str], columns: Sequence[str], path: str, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            return
        places, width = _places(columns, header, path), len(header)
        for row in reader:
            if len(row) == width:
                yield reader.line_num, [row[place] for place in places]
            elif row:  # else a blank line
                raise ValueError(f"{path}, line {reader.line_num}: {len(row)} columns, where the header has {width}")
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: no CSV: {error}") from None


def _json(lines: Iterator[str], columns: Sequence[str], path: str, _: str) -> Iterator[Row]:
    missing, some = set(columns), False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number}: a JSON object is wanted")
        some = True
        if missing:
            missing -= row.keys()
        yield number, [row.get(column) for column in columns]
    # Rows need not have all keys; a key that none has is mistyped.
    if some and missing:
        raise ValueError(f"{path}: column {min(missing)!r} is in no row")


def _parquet(file: IO[bytes], columns: Sequence[str], path: str) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def told(step: Callable[[], Any]) -> Any:
        try:
            return step()
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and not _of_content(error):
                raise
            raise ValueError(f"{path}: cannot be read as Parquet: {error}") from error

    parquet = told(lambda: pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20))
    _places(columns, parquet.schema_arrow.names, path)
    batches = parquet.iter_batches(ROWS, columns=list(dict.fromkeys(columns)))
    number = 0
    while (batch := told(lambda: next(batches, None))) is not None:
        for values in zip(*(_values(batch.column(name), number, f"{path}, row") for name in columns), strict=True):
            number += 1
            yield number, values


def _values(column: Any, before: int, place: str) -> list[Any]:
    try:
        found: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        for number, value in enumerate(column, before + 1):
            try:
                value.as_py()
            except UnicodeDecodeError:
                raise ValueError(f"{place} {number}: not UTF-8") from None
        raise
    return found
