"""History as rows of a table, written by each commit in one transaction."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import random
import time
from collections import deque
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._arguments import is_template
from airflow_provider.altcraft._extras import not_installed
from airflow_provider.altcraft.targets._equality import EqualByArguments
from airflow_provider.altcraft.targets._protocols import Scope, Written
from airflow_provider.altcraft.targets._writer import BaseWriter, InTheWayError
from airflow_provider.altcraft.targets.sql import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from airflow_provider.altcraft.targets._protocols import TargetWriter
    from airflow_provider.altcraft.targets._spool import Spool
    from airflow_provider.altcraft.targets.sql.names import Disposition, Name
    from airflow_provider.altcraft.targets.sql.pulls import Pull
    from airflow_provider.altcraft.targets.sql.session import Session

log = logging.getLogger(__name__)

_PAUSES = (0.5, 1.0, 2.0)
"""Seconds, at most, before each further try to commit where another writer was in the way."""


class SqlTarget(EqualByArguments):
    """A table behind a connection of Airflow's common SQL: PostgreSQL, MariaDB, MySQL, SQLite, DuckDB and others.

    And of ClickHouse, which has no transactions: there each day of the pull becomes visible at once, see docs/sql.md.

    The pull is spooled on the local disk, and a commit writes it in one transaction: until it ends, readers see the old
    rows. The table and an index on ``list_id, datetime`` are made where missing, and for ``merge`` and ``replace`` a
    small table ``…_pulls``, by which an earlier pull leaves the rows of a later one.

    Args:
        conn_id: the connection.
        table: ``table``, ``schema.table`` or, with unusual characters, ``"odd schema"."odd table"``.
        write_disposition:
            ``merge``: an event is one row, known by ``event_key``, with the newest values; no other row is touched.
            ``replace``: what the table holds for the pull's list, lookups and window is deleted, and the pull inserted;
            an event asked by two lookups is a row for each.
            ``append``: the pull is inserted, and nothing else is done. A retry, or a cleared task, writes its rows once
            more if the first try committed, which a task that died after its commit or lost the database's answer to it
            cannot know. Only what failed before its commit is retried without doubling.
        nul_replacement: what is written for the character U+0000, such as ``␀``, where the database has none, as
            PostgreSQL. Without it a pull with that character in it is refused.

    Raises:
        ValueError: an argument that does not fit; a template is checked by ``open``, once rendered.
    """

    template_fields: Sequence[str] = ("conn_id", "table", "write_disposition", "nul_replacement")

    def __init__(
        self, conn_id: str, table: str, write_disposition: Disposition = "merge", *, nul_replacement: str | None = None
    ) -> None:
        if not is_template(conn_id):
            names.check_connection(conn_id)
        if not is_template(table):
            names.parse(table)
        if not is_template(write_disposition):
            names.check_disposition(write_disposition)
        if not is_template(nul_replacement):
            _check_nul_replacement(nul_replacement)
        self.conn_id = conn_id
        self.table = table
        self.write_disposition = write_disposition
        self.nul_replacement = nul_replacement

    @classmethod
    def from_uri(cls, uri: str) -> SqlTarget:
        """Return the target of ``sql://conn_id/schema.table``, perhaps with ``?write_disposition=replace``.

        Raises:
            ValueError: not such a URI.
        """
        arguments: Any = names.from_uri(uri)
        return cls(**arguments)

    def __repr__(self) -> str:
        """Return the arguments, the same at each parse of the DAG file."""
        nul = "" if self.nul_replacement is None else f", nul_replacement={self.nul_replacement!r}"
        what = f"{self.conn_id!r}, {self.table!r}, write_disposition={self.write_disposition!r}"
        return f"{type(self).__name__}({what}{nul})"

    def explain(self, conn_type: str | None = None) -> str:
        """Return the statements that a pull of one day and one profile would send; no database is reached.

        A comment says whether they are proved on a database of this type. ``?`` stands for a value, ``…`` for rows.

        Args:
            conn_type: type of the Airflow connection, such as ``snowflake``; ``None`` looks the connection up.

        Raises:
            ValueError: an argument does not fit, there is no such connection, or databases of this type are refused.
        """
        names.check_connection(self.conn_id)
        names.check_disposition(self.write_disposition)
        from airflow_provider.altcraft.targets.sql.explain import explain

        return explain(conn_type or _type_of(self.conn_id), names.parse(self.table), self.write_disposition)

    def open(self, scope: Scope) -> TargetWriter:
        """Begin a write: the database is reached, and all that a commit does is tried in a transaction rolled back.

        Raises:
            ValueError: an argument, the connection, the database or the table does not fit; of a table, the message has
                all that does not, and the DDL that makes it fit.
            OSError: the database cannot be reached or written now.
        """
        names.check_connection(self.conn_id)
        names.check_disposition(self.write_disposition)
        _check_nul_replacement(self.nul_replacement)
        name = names.parse(self.table)
        uri = names.to_uri(self.conn_id, name)
        hook = _hook(self.conn_id, uri)
        if hook.conn_type == "clickhouse":
            from airflow_provider.altcraft.targets.sql.clickhouse.writer import open_table

            return open_table(hook, name, uri, self.write_disposition, scope)
        place = _Place(hook, uri, name, self.write_disposition, self.nul_replacement)
        lookups = scope.lookups
        if lookups is not None and not place.holds_nul:
            lookups = _LookupsWithoutNul(lookups, place)
            deque(lookups, maxlen=0)  # a lookup that cannot be stored is refused here
        with place.session() as session:
            began = session.now()  # before any request
            session.check(scope)
        from airflow_provider.altcraft.targets._spool import Spool
        from airflow_provider.altcraft.targets.sql.pulls import Pull

        scope = dataclasses.replace(scope, lookups=lookups)
        pull = None if self.write_disposition == "append" else Pull.of(scope, began)
        return SqlWriter(place, scope, pull, Spool())


def _type_of(conn_id: str) -> str:
    from airflow_provider.altcraft._airflow.databases import connection_of

    connection = connection_of(conn_id)
    # PostgreSQL's hook reaches Redshift as well.
    return "redshift" if connection.extra_dejson.get("redshift") else connection.conn_type or ""


def _check_nul_replacement(value: object) -> None:
    if value is not None and (not isinstance(value, str) or "\0" in value):
        raise ValueError(f"nul_replacement: expected a text to write in place of the character U+0000, got {value!r}")


class _Place:
    """A table, and how it is written."""

    def __init__(self, hook: Any, uri: str, name: Name, disposition: Disposition, nul_replacement: str | None) -> None:
        self.uri = uri
        self.name = name
        self.disposition = disposition
        self._nul_replacement = nul_replacement
        self._hook = hook
        with self._translated_errors():
            self._session_class = _session_class(self._hook)
            self._session_class.check_hook(self._hook)
            self.holds_nul = self._session_class.holds_nul

    def without_nul(self, text: str) -> str:
        """Return the text with U+0000 replaced.

        Raises:
            ValueError: it holds U+0000, and no replacement is given.
        """
        if "\0" not in text:
            return text
        if self._nul_replacement is None:
            raise ValueError(
                f"{self.uri}: a text has the character NUL (U+0000), which the database cannot hold; "
                f"SqlTarget(…, nul_replacement='␀') writes another in its place"
            )
        return text.replace("\0", self._nul_replacement)

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Connect; errors name the table and show no row."""
        with self._translated_errors(), self._session_class(self._hook, self.name, self.disposition) as session:
            yield session

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise ValueError(f"{self.uri}: {error}") from error
        except ImportError as error:
            raise ValueError(f"{self.uri}: {not_installed(self._hook.conn_type, error)}") from error
        except Exception as error:
            from airflow_provider.altcraft.targets.sql import errors

            if isinstance(error, OSError):
                raise OSError(f"{self.uri}: {error}") from error
            driver = errors.of_driver(error)
            if driver is None:
                raise
            if errors.no_database(driver):
                raise FileNotFoundError(
                    f"{self.uri}: the connection names a database that is not there: {errors.message_of(driver)}; look "
                    f"at its schema (the database's name) or host (the path of a file, whose folder must be there)"
                ) from None
            if errors.unreachable(driver):
                raise errors.UnreachableError(f"{self.uri}: {errors.message_of(driver)}") from None
            # Not chained: some databases show the row that they refused.
            if errors.in_the_way(driver):
                raise InTheWayError(
                    f"{self.uri}: another writer of the table was in the way, and nothing was written; "
                    f"a retry may go through: {errors.message_of(driver)}"
                ) from None
            raise OSError(f"{self.uri}: {errors.message_of(driver)}") from None


class _LookupsWithoutNul(Collection[tuple[str, str]]):
    """A scope's lookups with U+0000 replaced, one by one: there may be millions."""

    def __init__(self, lookups: Collection[tuple[str, str]], place: _Place) -> None:
        self._lookups = lookups
        self._place = place

    def __len__(self) -> int:
        return len(self._lookups)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for matching, lookup in self._lookups:
            yield matching, self._place.without_nul(lookup)

    def __contains__(self, pair: object) -> bool:
        return any(each == pair for each in self)


def _hook(conn_id: str, uri: str) -> Any:
    from airflow_provider.altcraft._airflow.databases import connection_of, database_hook

    try:
        conn_type = connection_of(conn_id).conn_type or ""
        if conn_type != "clickhouse":  # which has a way of its own
            names.refuse_without_transactions(conn_type)
        hook = database_hook(conn_id)
    except ValueError as error:
        raise ValueError(f"{uri}: {error}") from error
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    if not isinstance(hook, DbApiHook):
        raise ValueError(
            f"{uri}: the connection is of type {getattr(hook, 'conn_type', '?')!r}, which is not a SQL database"
        )
    return hook


def _session_class(hook: Any) -> type[Session]:
    from airflow_provider.altcraft.targets.sql.dialects import session_class

    # PostgreSQL's hook reaches Redshift as well.
    return session_class("redshift" if hook.connection_extra_lower.get("redshift") else hook.conn_type)


class SqlWriter(BaseWriter):
    """Spools batches and commits them in one transaction. An error ends the writer and leaves nothing behind."""

    reconnects_for = 30.0
    """Seconds for which a commit tries to connect: the pull is done, and its rows would be lost with the task."""

    def __init__(self, place: _Place, scope: Scope, pull: Pull | None, spool: Spool) -> None:
        super().__init__(place.uri)
        self._place = place
        self._scope = scope
        self._pull = pull
        self._spool = spool
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Spool a batch."""
        from airflow_provider.altcraft.schema import check_schema
        from airflow_provider.altcraft.targets._masks import of_another_list

        with self._guard():
            check_schema(batch)
            if not self._place.holds_nul:
                batch = _without_nul(batch, self._place)
            self._spool.add(batch, "rows")
            self._rows += batch.num_rows
            if self._place.disposition == "replace":
                self._spool.add(batch.filter(of_another_list(batch, self._scope.list_id)), "foreign")

    def commit(self) -> Written:
        """Write all in one transaction, after waiting for other tasks that write the table.

        Rows of later pulls of the same list and lookups stay; the rows that are left out for them do not count. After a
        deadlock and the like the commit is retried. Where no connection can be made, as while the server restarts, it
        is tried for half a minute.
        """
        with self._guard():
            rows = self._write_with_retries()
            self._ended = "committed"
            self._spool.close()
        return Written(uris=(self._place.uri,), rows=rows)

    def _write_with_retries(self) -> int:
        """Write all; the errors that are retried mean that nothing was written."""
        from airflow_provider.altcraft.targets.sql.errors import UnreachableError

        pauses, deadline = iter(_PAUSES), time.monotonic() + self.reconnects_for
        while True:
            try:
                return self._write()
            except UnreachableError as error:
                if time.monotonic() >= deadline:
                    raise
                pause = 1.0
                log.warning("%s; once more", error)
            except InTheWayError as error:
                if (pause := next(pauses, 0.0)) == 0.0:
                    raise
                log.warning("%s; once more", error)
            time.sleep(random.uniform(pause / 2, pause))

    def _write(self) -> int:
        from airflow_provider.altcraft.targets._spool import SpoolReader

        with self._place.session() as session:
            session.ensure()
            rows, foreign = (SpoolReader(self._spool, key) for key in ("rows", "foreign"))
            left_out = session.write(self._scope, self._pull, rows, foreign)
            session.commit()
        return self._rows - left_out

    def _drop(self) -> None:
        self._spool.close()


def _without_nul(batch: pa.RecordBatch, place: _Place) -> pa.RecordBatch:
    import pyarrow as pa
    import pyarrow.compute as pc

    from airflow_provider.altcraft._arrow import text_array

    columns: list[Any] = list(batch.columns)
    for number, column in enumerate(columns):
        if pa.types.is_string(column.type) and pc.match_substring(column, "\0").true_count:
            texts = [text and place.without_nul(text) for text in column.to_pylist()]
            columns[number] = text_array(texts)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
