"""A connection to a ClickHouse server: statements, inserts, and its errors in words."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Any, Final, Self

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
from clickhouse_connect.driver.exceptions import Error

from airflow_provider.altcraft._redact import database_message, redacted
from airflow_provider.altcraft.targets._writer import InTheWayError
from airflow_provider.altcraft.targets.sql.errors import UnreachableError
from airflow_provider.altcraft.window import UTC

ALREADY_THERE: Final = 57
"""The number of the error that a table exists already."""

_UNKNOWN_TABLE: Final = 60
_UNKNOWN_DATABASE: Final = 81
_DENIED: Final = 497
_NOT_LET_IN: Final = frozenset({192, 193, 194, 516})

_FROM_NOTHING: Final = "allow_replace_partition_from_empty_source"
"""Without this setting newer servers do not replace a day by nothing."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=UTC)


class Server:
    """A connection of the official provider's hook, closed at the end.

    Args:
        hook: the provider's.

    Raises:
        ValueError: the hook is another one.
    """

    def __init__(self, hook: Any) -> None:
        if not hasattr(hook, "get_client"):
            raise ValueError(
                f"the connection type 'clickhouse' is served by {type(hook).__module__}.{type(hook).__name__}; "
                f"expected the hook of apache-airflow-providers-clickhousedb: remove the package that brings the other "
                f"one"
            )
        self._client = hook.get_client()
        self.database: str = self._client.database or "default"

    def __enter__(self) -> Self:
        """Return the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        with contextlib.suppress(Exception):  # of a connection that was closed
            self._client.close()

    def rows(self, sql: str) -> list[Any]:
        """Run a query, and return its rows."""
        return list(self._client.query(sql).result_rows)

    def run(self, sql: str) -> None:
        """Run a statement, without retries."""
        known = "REPLACE PARTITION" in sql and _FROM_NOTHING in self._client.server_settings
        settings = {_FROM_NOTHING: 1} if known else {}
        self._client.command(sql, settings=settings)

    def insert(self, into: str, rows: pa.Table) -> None:
        """Insert rows, without retries; once this returns, they are in the table."""
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_table(rows)
        columns = ", ".join(map(quote, rows.schema.names))
        sql = f"INSERT INTO {into} ({columns}) FORMAT ArrowStream"
        self._client.command(sql, data=stream.getvalue().to_pybytes(), settings={"async_insert": 0})

    def now(self) -> dt.datetime:
        """Return the time by the server's clock."""
        ((microseconds,),) = self.rows("SELECT toUnixTimestamp64Micro(now64(6))")
        return _EPOCH + dt.timedelta(microseconds=microseconds)


def quote(name: str) -> str:
    """Return a name in SQL's quotes."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def text(value: str) -> str:
    """Return a text as an SQL literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def code_of(error: BaseException) -> int | None:
    """Return the number of a server's error; ``None`` where the server did not answer."""
    return getattr(error, "code", None)


@contextlib.contextmanager
def translated_errors(uri: str) -> Iterator[None]:
    """Raise the driver's errors with the table's name, and without values of rows."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith(uri):
            raise
        raise ValueError(f"{uri}: {error}") from error
    except Error as error:
        code, said = code_of(error), redacted(database_message(error)).partition(" (for url")[0]
        if code is None:
            raise UnreachableError(f"{uri}: the server does not answer: {said}") from None
        if code == _DENIED:
            raise ValueError(f"{uri}: the connection's user lacks a right: {said}") from None
        if code in _NOT_LET_IN:
            raise PermissionError(f"{uri}: the server does not let the connection's user in: {said}") from None
        if code == _UNKNOWN_DATABASE:
            raise ValueError(f"{uri}: there is no such database: {said}; make it: CREATE DATABASE …") from None
        if code == _UNKNOWN_TABLE:
            raise InTheWayError(
                f"{uri}: another writer of the table took this one for dead and has removed what it had staged; a "
                f"retry may go through: {said}"
            ) from None
        raise OSError(f"{uri}: {said}") from None
