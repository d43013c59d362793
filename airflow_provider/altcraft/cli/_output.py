"""Prints the result of a command as Airflow's own commands do, but with Unicode kept, and also as CSV."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Row = Mapping[str, Any]

_NOTHING: Final[tuple[Any, ...]] = (None, [], {})


@dataclass(frozen=True)
class Found(ABC):
    """The result of a command.

    Attributes:
        code: the exit code.
    """

    code: int = 0

    @abstractmethod
    def text(self, output: str) -> str:
        """Return the text for stdout; ``output`` is ``table``, ``json``, ``yaml`` or ``csv``."""


@dataclass(frozen=True, kw_only=True)
class Rows(Found):
    """Rows of texts, numbers, and objects and lists of them.

    Attributes:
        rows: what was found.
        columns: those of a table, which are few enough for a terminal.
        fields: those of CSV: all that a row may have.
    """

    rows: Sequence[Row]
    columns: Sequence[str]
    fields: Sequence[str]

    def text(self, output: str) -> str:
        """JSON and YAML have a list of objects."""
        if output == "table":
            return _table(self.columns, _cells(self.rows, self.columns))
        return _csv(self.rows, self.fields) if output == "csv" else _document(self.rows, output)


@dataclass(frozen=True, kw_only=True)
class Record(Found):
    """One record.

    Attributes:
        record: what was found.
        words: the same in words, to be printed in place of a table.
        columns: the fields that a table may have; ``None`` for all. Those that hold nothing are left out of it.
    """

    record: Row
    words: str | None = None
    columns: Sequence[str] | None = None

    def text(self, output: str) -> str:
        """A table has a row for each field; JSON and YAML have an object."""
        if output == "table":
            names = self.record if self.columns is None else self.columns
            rows = ((name, _cell(self.record[name])) for name in names if self.record.get(name) not in _NOTHING)
            return _table(("name", "value"), rows) if self.words is None else f"{self.words}\n"
        return _csv([self.record], [*self.record]) if output == "csv" else _document(self.record, output)


def _document(data: Row | Sequence[Row], output: str) -> str:
    if output == "json":
        return f"{json.dumps(data, ensure_ascii=False, indent=2)}\n"
    from airflow.utils import yaml

    return yaml.dump(data, allow_unicode=True, sort_keys=False)


def _csv(rows: Iterable[Row], fields: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(_cells(rows, fields))
    return text.getvalue()


def _cells(rows: Iterable[Row], names: Sequence[str]) -> Iterable[list[str]]:
    return ([_cell(row.get(name)) for name in names] for row in rows)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else str(value)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    from airflow.cli.simple_table import AirflowConsole, SimpleTable
    from rich.text import Text

    table = SimpleTable(*header, show_header=True)
    for row in rows:
        table.add_row(*(Text(_printable(each)) for each in row))  # no markup: the texts are other people's
    console = AirflowConsole()
    with console.capture() as capture:
        console.print(table if table.row_count else "No data found")
    return capture.get()


def _printable(text: str) -> str:
    """Return the text without control characters of a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)
