"""What a session of a database offers to the modules that write by it: statements, names and the table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

import sqlalchemy as sa  # noqa: TID253 - imported by a writer, at run time

from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.targets.sql.names import Disposition, Name
from airflow_provider.altcraft.targets.sql.rules import TableRules


class Connection(Protocol):
    """A connection in one transaction, to the database of one table."""

    name: Name
    table: sa.Table
    dialect: sa.Dialect
    disposition: Disposition
    target: str
    max_identifier_bytes: ClassVar[int]
    rules: ClassVar[TableRules]

    def execute(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement with ``?`` for its values, and return its rows."""
        ...

    def try_ddl(self, ddl: str) -> None:
        """Run a statement that may fail without an end to the transaction."""
        ...

    def instant(self, value: dt.datetime) -> Any:
        """An instant in UTC as the driver takes it for a value."""
        ...

    def quote(self, name: str) -> str:
        """Return a column's name as it stands in SQL."""
        ...

    def columns(self, names: Iterable[str], before: str = "") -> str:
        """Return names of columns as they stand in SQL, with a table's name before each."""
        ...

    def columns_of(self, name: Name) -> set[str]:
        """The columns of another table; none where it is not there."""
        ...

    def where(self, scope: Scope) -> tuple[str, list[Any]]:
        """The condition that a row is of the scope's list and window, and its values."""
        ...
