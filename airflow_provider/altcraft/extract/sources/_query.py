"""Reads the rows of a query over an Airflow connection, without holding the whole result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from airflow_provider.altcraft._redact import database_message

ROWS = 10_000
"""Rows fetched at once."""


def rows(
    conn_id: str, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None, columns: Sequence[str]
) -> Iterator[tuple[int, Sequence[Any]]]:
    """Yield number, from 1, and values of each row. Changes that the query makes are rolled back.

    Raises:
        ValueError: there is no such connection, it is not of a SQL database, the query cannot be run, or its result
            lacks a column; no message shows a value of a row.
        OSError: the database cannot be reached, or gave the query up.
    """
    with _without_values(conn_id):
        yield from _rows(conn_id, sql, parameters, columns)


@contextmanager
def _without_values(conn_id: str) -> Iterator[None]:
    """Raise a driver's error without values, which a failed cast shows, for example."""
    try:
        yield
    except Exception as error:
        # PEP 249 names the classes, whatever the driver.
        kinds = {each.__name__ for each in type(error).__mro__}
        if "Error" not in kinds:
            raise
        kind = ValueError if kinds & {"ProgrammingError", "DataError", "NotSupportedError"} else OSError
        raise kind(f"query on {conn_id}: {database_message(error)}") from None


def _rows(
    conn_id: str, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None, columns: Sequence[str]
) -> Iterator[tuple[int, Sequence[Any]]]:
    connection = _connect(conn_id)
    try:
        cursor = _cursor(connection)
        try:
            cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
            # The names of a cursor on the server's side are known only with its first rows.
            some = cursor.fetchmany(ROWS)
            places = _places(columns, [each[0] for each in cursor.description or ()], conn_id)
            number = 0
            while some:
                for row in some:
                    number += 1
                    yield number, [row[place] for place in places]
                some = cursor.fetchmany(ROWS)
        finally:
            with suppress(Exception):  # some refuse to close before all is read, but the connection goes anyway
                cursor.close()
    finally:
        with suppress(Exception):
            connection.close()


def _connect(conn_id: str) -> Any:
    from airflow_provider.altcraft._airflow.databases import connect, database_hook

    try:
        hook = database_hook(conn_id)
        if hasattr(hook, "get_records"):
            return connect(hook)
    except ValueError as error:
        raise ValueError(f"conn_id: {error}") from error
    raise ValueError(f"conn_id: {conn_id!r} is a connection of {type(hook).__name__}, not of a SQL database")


def _cursor(connection: Any) -> Any:
    """Return a cursor that does not fetch the whole result at once, with rows as tuples."""
    driver = type(connection).__module__.partition(".")[0]
    if driver == "psycopg2":
        return connection.cursor("altcraft_profiles", cursor_factory=import_module("psycopg2.extensions").cursor)
    if driver == "psycopg":
        return connection.cursor("altcraft_profiles", row_factory=import_module("psycopg.rows").tuple_row)
    if driver in {"MySQLdb", "pymysql"}:
        return connection.cursor(import_module(f"{driver}.cursors").SSCursor)
    return connection.cursor()


def _places(columns: Sequence[str], found: Sequence[str], conn_id: str) -> list[int]:
    """Return the positions of the columns; some databases change the case of names."""
    folded = [name.casefold() for name in found]
    for column in columns:
        if column not in found and folded.count(column.casefold()) != 1:
            raise ValueError(
                f"query on {conn_id}: its result has no column {column!r}, but {', '.join(map(repr, found)) or 'none'}"
            )
    return [found.index(each) if each in found else folded.index(each.casefold()) for each in columns]
