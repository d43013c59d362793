"""History as rows of a table, written by each commit in one transaction."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._arguments import is_template
from airflow_provider.altcraft.targets import _sql_names as names
from airflow_provider.altcraft.targets._base import Scope, Written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from airflow_provider.altcraft.targets._spool import Spool
    from airflow_provider.altcraft.targets._sql_names import Disposition, Name
    from airflow_provider.altcraft.targets._sql_session import Session


class SqlTarget:
    """A table behind a connection of Airflow's common SQL: PostgreSQL, MariaDB, MySQL, SQLite, DuckDB and others.

    The pull is put aside on the local disk, and a commit writes it in one transaction: until it is through, readers see
    what was there. The table and an index on ``list_id, datetime`` are made where missing.

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

    Raises:
        ValueError: an argument that does not fit; a template is checked by ``open``, once rendered.
    """

    template_fields: Sequence[str] = ("conn_id", "table", "write_disposition")

    def __init__(self, conn_id: str, table: str, write_disposition: Disposition = "merge") -> None:
        if not is_template(conn_id):
            names.check_connection(conn_id)
        if not is_template(table):
            names.parse(table)
        if not is_template(write_disposition):
            names.check_disposition(write_disposition)
        self.conn_id = conn_id
        self.table = table
        self.write_disposition = write_disposition

    @classmethod
    def from_uri(cls, uri: str) -> SqlTarget:
        """Return the target of ``sql://conn_id/schema.table``, perhaps with ``?write_disposition=replace``.

        Raises:
            ValueError: not such a URI.
        """
        arguments: Any = names.from_uri(uri)
        return cls(**arguments)

    def __repr__(self) -> str:
        """Return what made the target, alike at each parse of the DAG file."""
        return f"{type(self).__name__}({self.conn_id!r}, {self.table!r}, write_disposition={self.write_disposition!r})"

    def __eq__(self, other: object) -> bool:
        """Compare kind and arguments."""
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]  # rendering changes the arguments

    def open(self, scope: Scope) -> SqlWriter:
        """Begin a write: the database is reached, and the table proved fit and writable.

        Raises:
            ValueError: an argument, the connection or the table does not fit; of a table, the message has all that does
                not, and the DDL that mends it.
            OSError: the database cannot be reached or written.
        """
        names.check_connection(self.conn_id)
        names.check_disposition(self.write_disposition)
        place = _Place(self.conn_id, names.parse(self.table), self.write_disposition)
        with place.session() as session:
            session.check()
        from airflow_provider.altcraft.targets._spool import Spool

        return SqlWriter(place, scope, Spool())


class _Place:
    """A table, and how it is written."""

    def __init__(self, conn_id: str, name: Name, disposition: Disposition) -> None:
        self.uri = names.to_uri(conn_id, name)
        self.name = name
        self.disposition = disposition
        self._hook = _hook(conn_id, self.uri)

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Connect; errors say in words what is wrong, and show no row."""
        try:
            kind = _kind(self._hook)
            with kind(self._hook, self.name, self.disposition) as session:
                yield session
        except ValueError as error:
            raise ValueError(f"{self.uri}: {error}") from error
        except ImportError as error:
            raise ValueError(f"{self.uri}: a package that this database needs cannot be imported: {error}") from error
        except Exception as error:
            from airflow_provider.altcraft.targets._sql_session import told

            if isinstance(error, OSError):
                raise OSError(f"{self.uri}: {error}") from error
            if not any(each.__name__ == "Error" for each in type(error).__mro__):  # PEP 249: the root of a driver's
                raise
            # Not chained: some databases tell the row that they did not take.
            raise OSError(f"{self.uri}: {told(error)}") from None


def _hook(conn_id: str, uri: str) -> Any:
    from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook

    try:
        hook = BaseHook.get_hook(conn_id)
    except AirflowNotFoundException as error:
        raise ValueError(f"{uri}: there is no Airflow connection {conn_id!r}; make it") from error
    except (AirflowException, ImportError) as error:
        raise ValueError(f"{uri}: the connection's hook cannot be had: {error}") from error
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    if not isinstance(hook, DbApiHook):
        raise ValueError(
            f"{uri}: the connection is of type {getattr(hook, 'conn_type', '?')!r}, which is no SQL database"
        )
    return hook


def _kind(hook: Any) -> type[Session]:
    kind = hook.conn_type
    if hook.connection_extra_lower.get("redshift"):  # which PostgreSQL's hook reaches as well
        kind = "redshift"
    if kind == "postgres":
        from airflow_provider.altcraft.targets._sql_postgres import PostgresSession

        return PostgresSession
    if kind == "mysql":
        from airflow_provider.altcraft.targets._sql_mysql import MySqlSession

        return MySqlSession
    if kind == "sqlite":
        from airflow_provider.altcraft.targets._sql_sqlite import SqliteSession

        return SqliteSession
    if kind == "duckdb":
        from airflow_provider.altcraft.targets._sql_duckdb import DuckDbSession

        return DuckDbSession
    from airflow_provider.altcraft.targets._sql_other import OtherSession

    return OtherSession


class SqlWriter:
    """Puts batches aside and commits them in one transaction. An error ends the writer and leaves nothing behind."""

    def __init__(self, place: _Place, scope: Scope, spool: Spool) -> None:
        self._place = place
        self._scope = scope
        self._spool = spool
        self._rows = 0
        self._ended: str | None = None
        # A cancelled operator aborts while a thread of its own may still write or commit.
        self._lock = threading.RLock()

    def write(self, batch: pa.RecordBatch) -> None:
        """Put one batch aside."""
        with self._one_step():
            self._spool.add(batch, "rows")
            self._rows += batch.num_rows
            if self._place.disposition == "replace":
                self._spool.add(_foreign(batch, self._scope.list_id), "foreign")

    def commit(self) -> Written:
        """Write all in one transaction, after waiting for other tasks that write the table."""
        with self._one_step():
            with self._place.session() as session:
                session.ensure()
                self._write(session)
                session.commit()
            self._ended = "committed"
            self._spool.close()
        return Written(uris=(self._place.uri,), rows=self._rows)

    def _write(self, session: Session) -> None:
        batches = self._spool.read("rows")
        if self._place.disposition == "merge":
            session.merge(batches)
        elif self._place.disposition == "replace":
            session.replace(self._scope, batches, self._spool.read("foreign"))
        else:
            session.append(batches)

    def abort(self) -> None:
        """Drop what was put aside; does nothing where the writer has ended."""
        with self._lock:
            if not self._ended:
                self._ended = "aborted"
                self._spool.close()

    @contextlib.contextmanager
    def _one_step(self) -> Iterator[None]:
        with self._lock:
            if self._ended:
                raise RuntimeError(f"{self._place.uri}: this write was {self._ended} already; open the target again")
            try:
                yield
            except BaseException:
                self.abort()
                raise


def _foreign(batch: pa.RecordBatch, list_id: int) -> pa.RecordBatch:
    """The rows of another list."""
    import pyarrow as pa

    return batch.filter(pa.array([each != list_id for each in batch.column("list_id").to_pylist()], pa.bool_()))
