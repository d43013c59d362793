"""Reads the rows of a file or object of profiles one by one, with their numbers."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from airflow_provider.altcraft.extract.sources._text import lines, of_content, separator_of

ROWS = 10_000
"""Rows of Parquet decoded at once."""

Row = tuple[int, Sequence[Any]]

_SUFFIX = re.compile(r"\.(parquet|xlsx|(?:csv|jsonl|ndjson)(\.(?:gz|zst|bz2))?)$")
_SEP = re.compile(r"sep=(.)[\r\n]*")
_CODECS: dict[str, Any] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}


@dataclass(frozen=True)
class Format:
    """The format of a file beyond its suffix.

    Attributes:
        delimiter: of CSV.
        encoding: of CSV and JSON lines.
        sheet: of a workbook; ``None`` for the only one.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    sheet: str | None = None


def check(path: str) -> None:
    """Refuse a path that cannot be a source, without opening it.

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
            f"path: {path!r} has none of the suffixes .parquet, .xlsx, .csv, .jsonl and .ndjson, the last three "
            "perhaps with .gz, .zst or .bz2 after them"
        )


def kind_of(path: str) -> str:
    """Return the format that the suffix names."""
    return _SUFFIX.search(path)[1].partition(".")[0]  # type: ignore[index] # checked


def rows(path: str, columns: Sequence[str], form: Format) -> Iterator[Row]:
    """Yield number and values of each row; the number is that of the line, in Parquet and Excel of the row, from 1.

    Raises:
        ValueError: it is not what its suffix says, or lacks a column.
        ImportError: what reads the format is not installed.
        OSError: it is not there or cannot be read.
    """
    check(path)
    kind, packed = kind_of(path), _SUFFIX.search(path)[2]  # type: ignore[index] # checked
    with ExitStack() as stack:
        file = stack.enter_context(_open(path))
        if kind == "parquet":
            yield from _parquet(file, columns, path)
            return
        if kind == "xlsx":
            from airflow_provider.altcraft.extract.sources._excel import rows_of_sheet

            yield from rows_of_sheet(file, lambda header: _places(columns, header, path), path, form.sheet)
            return
        if packed:
            import pyarrow as pa

            opened: Any = pa.PythonFile(file, "r")  # type: ignore[arg-type] # it reads any file
            stream: Any = stack.enter_context(pa.CompressedInputStream(opened, _CODECS[packed]))
            file = io.BufferedReader(stream, 1 << 18)
        if kind == "csv":
            yield from _csv(lines(file, path, form.encoding, form.delimiter), columns, path, form.delimiter)
        else:
            yield from _json(lines(file, path, form.encoding, None), columns, path)


def _open(path: str) -> IO[bytes]:
    scheme, parted, rest = path.partition("://")
    if not parted or scheme == "file":
        return Path(rest if parted else path).open("rb")
    from airflow_provider.altcraft._airflow.storage import reach

    fs, within = reach(path)
    opened: IO[bytes] = fs.open(within, "rb")
    return opened


def _places(columns: Sequence[str], found: Sequence[str], path: str) -> list[int]:
    for column in columns:
        if found.count(column) != 1:
            state = "twice" if column in found else "missing"
            raise ValueError(f"{path}: column {column!r} is {state}; there are {', '.join(map(repr, found))}")
    return [found.index(column) for column in columns]


def _csv(text: Iterator[str], columns: Sequence[str], path: str, delimiter: str) -> Iterator[Row]:
    first = next(text, "")
    before = 0
    if sep := _SEP.fullmatch(first):  # Excel's own line of what parts the columns
        if sep[1] != delimiter:
            raise ValueError(f"{path}, line 1: it names another delimiter: delimiter={sep[1]!r}")
        first, before = next(text, ""), 1
    reader = csv.reader(chain([first] if first else [], text), delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            return
        try:
            places, width = _places(columns, header, path), len(header)
        except ValueError as error:
            separator = separator_of(first, delimiter)
            hint = f"; its columns look like delimiter={separator!r}" if separator else ""
            raise ValueError(f"{error}{hint}") from None
        for row in reader:
            if len(row) == width:
                yield before + reader.line_num, [row[place] for place in places]
            elif row:  # else a blank line
                raise ValueError(
                    f"{path}, line {before + reader.line_num}: {len(row)} columns, where the header has {width}"
                )
    except csv.Error as error:
        raise ValueError(f"{path}, line {before + reader.line_num}: not CSV: {error}") from None


def _json(text: Iterator[str], columns: Sequence[str], path: str) -> Iterator[Row]:
    missing, some = set(columns), False
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number}: expected a JSON object")
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

    def tried(step: Callable[[], Any]) -> Any:
        try:
            return step()
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and not of_content(error):
                raise
            raise ValueError(f"{path}: cannot be read as Parquet: {error}") from error

    parquet = tried(lambda: pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20))
    _places(columns, parquet.schema_arrow.names, path)
    batches = parquet.iter_batches(ROWS, columns=list(dict.fromkeys(columns)))
    number = 0
    while (batch := tried(lambda: next(batches, None))) is not None:
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
