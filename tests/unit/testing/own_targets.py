"""Sound targets as a user may write them: the example of the docs, and a table in SQLite."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets import Scope, Written

PAGE = Path(__file__).parents[3] / "docs" / "history.md"


def example() -> str:
    """The target of the docs, as they have it."""
    (code,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if "class ArrowFile:" in block
    ]
    return code


_docs = ModuleType("docs_history")
exec(compile(example(), str(PAGE), "exec"), _docs.__dict__)
ArrowFile: Any = _docs.__dict__["ArrowFile"]
ArrowFileWriter: Any = _docs.__dict__["ArrowFileWriter"]


def rows_of(path: Path) -> Any:
    """What a reader sees in an ``ArrowFile``."""
    try:
        return ipc.open_stream(path.read_bytes()).read_all()
    except (FileNotFoundError, pa.ArrowInvalid):
        return []


class File(ArrowFile):
    """The example of the docs, whose writer a subclass can replace."""

    def open(self, scope: Scope) -> Any:
        return self.Writer(Path(self.path))

    class Writer(ArrowFileWriter):
        pass


class Table:
    """A table in SQLite that holds of each scope the last pull. It stages as the example of the docs does."""

    template_fields = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path
        with closing(self.connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"CREATE TABLE IF NOT EXISTS history ({', '.join(COLUMNS)})")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30, isolation_level=None)

    def open(self, scope: Scope) -> Any:
        return self.Writer(self, scope)

    def read(self) -> Any:
        with closing(self.connect()) as connection:
            found = connection.execute("SELECT * FROM history").fetchall()
        return pa.table([list(column) for column in zip(*found, strict=True)], COLUMNS).cast(SCHEMA) if found else []

    class Writer:
        where = "list_id = ? AND matching = ? AND lookup = ? AND datetime >= ? AND datetime < ?"
        everywhere = "list_id = ? AND datetime >= ? AND datetime < ?"
        insert = "INSERT"

        def __init__(self, target: Table, scope: Scope) -> None:
            self.target, self.scope = target, scope
            self.staged = ArrowFileWriter(Path(target.path))

        def write(self, batch: pa.RecordBatch) -> None:
            self.staged.write(batch)

        def rows(self) -> Iterator[tuple[Any, ...]]:
            self.staged.stream.close()
            self.staged.staged.seek(0)
            for batch in ipc.open_stream(self.staged.staged):
                place = SCHEMA.get_field_index("datetime")
                whole = batch.set_column(place, "datetime", batch.column(place).cast(pa.int64()))
                yield from zip(*(column.to_pylist() for column in whole.columns), strict=True)

        def scopes(self) -> Iterator[tuple[Any, ...]]:
            window = self.scope.window
            ends = [
                round(end.timestamp() * 1_000_000) if end else beyond
                for end, beyond in ((window.start, -(2**62)), (window.end, 2**62))
            ]
            if self.scope.lookups is None:
                yield (self.scope.list_id, *ends)
            else:
                yield from ((self.scope.list_id, *lookup, *ends) for lookup in self.scope.lookups)

        def commit(self) -> Written:
            with closing(self.target.connect()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                where = self.everywhere if self.scope.lookups is None else self.where
                connection.executemany(f"DELETE FROM history WHERE {where}", self.scopes())
                marks = ", ".join("?" * len(COLUMNS))
                connection.executemany(f"{self.insert} INTO history VALUES ({marks})", self.rows())
                connection.execute("COMMIT")
            self.abort()
            return Written((f"sqlite://{self.target.path}",), self.staged.rows)

        def abort(self) -> None:
            self.staged.abort()
