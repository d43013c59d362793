"""The protocol of a session, for the modules that a session itself imports."""

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
        """Run a statement whose failure leaves the transaction usable."""
        ...

    def instant(self, value: dt.datetime) -> Any:
        """Return an instant in UTC as a value for the driver."""
        ...

    def quote(self, name: str) -> str:
        """Return a column's name, quoted where SQL needs it."""
        ...

    def columns(self, names: Iterable[str]) -> str:
        """Return a list of columns for SQL."""
        ...

    def columns_of(self, name: Name) -> set[str]:
        """Return the names of a table's columns; none where there is no such table."""
        ...

    def where(self, scope: Scope) -> tuple[str, list[Any]]:
        """Return the condition, and its values, that a row is of the scope's list and window."""
        ...
