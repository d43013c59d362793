"""The session: one connection to a database in one transaction, in which a commit writes the rows of a pull.

Each database has a subclass in ``dialects``; ``dialects.generic`` has that of all others.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, ClassVar, Self

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time
import pyarrow.compute as _pc  # noqa: TID253 - the same
import sqlalchemy as sa  # noqa: TID253 - the same

from airflow_provider.altcraft._arrow import text_array
from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets._masks import within
from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.targets._spool import Spool, SpoolReader
from airflow_provider.altcraft.targets.sql import table
from airflow_provider.altcraft.targets.sql.checks import (
    prove_rights,
    refuse_lost_row,
    refuse_other_kind,
    refuse_unfit,
    refusing,
)
from airflow_provider.altcraft.targets.sql.errors import message_of
from airflow_provider.altcraft.targets.sql.keys import check_table_keys
from airflow_provider.altcraft.targets.sql.names import Disposition, Name
from airflow_provider.altcraft.targets.sql.pulls import Pull, Pulls, cover, pulls_table_name
from airflow_provider.altcraft.targets.sql.rows import (
    IDENTITY,
    LISTED,
    LOOKUP,
    NEWS,
    around,
    lookups,
    nowhere,
    samples,
    slices,
)
from airflow_provider.altcraft.targets.sql.rules import Shape, TableRules
from airflow_provider.altcraft.window import UTC, Window

pc: Any = _pc

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds to wait for a file that another process has locked."""


class Session:
    """A connection that is closed at the end; what was not committed by then is rolled back.

    Args:
        hook: a ``DbApiHook``, whose connection is used.
        name: the table.
        disposition: how it is written.
    """

    rules: ClassVar[TableRules] = TableRules()
    placeholder: str = "%s"
    eq: ClassVar[str] = "{0} = {1}"
    null_safe_eq: ClassVar[str] = "{0} IS NOT DISTINCT FROM {1}"
    """As ``eq``, but two nulls are equal."""
    temp_prefix: ClassVar[str] = ""
    """The prefix of temporary tables' names."""
    holds_nul: ClassVar[bool] = True
    """Whether texts may hold the character U+0000."""
    max_identifier_bytes: ClassVar[int] = 63
    """Bytes that a name may have."""
    transactional_ddl: ClassVar[bool] = True
    """Whether a transaction can roll back the creation of a table."""

    overtaken: Sequence[Window] = ()
    """Windows that later pulls of the same list and lookups have written; a replacement leaves their rows."""
    _pulls: Pulls | None = None
    """The table of pulls, where there can be one."""

    table: sa.Table
    dialect: sa.Dialect

    def __init__(self, hook: Any, name: Name, disposition: Disposition) -> None:
        self.hook = hook
        self.name = name
        self.disposition = disposition
        for part in filter(None, (name.schema, name.table)):
            if len(part.encode()) > self.max_identifier_bytes:
                most = self.max_identifier_bytes
                raise ValueError(f"table: {part!r} is longer than the {most} bytes that a name may have")
        self._connect()
        try:
            self.table = self._define()
            self._begin()
        except BaseException:
            self.close()
            raise
        self.target = self.dialect.identifier_preparer.format_table(self.table)

    # For subclasses.

    @classmethod
    def check_hook(cls, hook: Any) -> None:
        """Check the connection before its first session."""

    def _connect(self) -> None:
        raise NotImplementedError

    def _begin(self) -> None:
        """Begin the transaction."""

    def _define(self) -> sa.Table:
        return table.define(self.name, self.rules, self.disposition, max_identifier_bytes=self.max_identifier_bytes)

    def execute(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement with ``?`` for its values, and return its rows."""
        raise NotImplementedError

    def commit(self) -> None:
        """Commit."""
        raise NotImplementedError

    def close(self) -> None:
        """Roll back and close; does not fail."""
        raise NotImplementedError

    def shape(self) -> Shape | None:
        """Return the table as it is in the database; ``None`` where there is none."""
        raise NotImplementedError

    def columns_of(self, name: Name) -> set[str]:
        """Return the names of a table's columns; none where there is no such table."""
        raise NotImplementedError

    def schemas(self) -> list[str]:
        """Return the names of the database's schemas."""
        raise NotImplementedError

    def schema_of_table(self) -> str | None:
        """Return the schema that holds the table; ``None`` where a name without a schema finds it too."""
        return self.name.schema

    def check_place(self, exists: bool) -> None:
        """Refuse a database that cannot be written or, where the table is missing, in which it cannot be made."""

    def lock(self) -> None:
        """Wait until no other task writes the table, and keep others out until the transaction ends."""

    def begin_after_ddl(self) -> None:
        """Begin the transaction, where the DDL before it was not part of one."""

    def try_ddl(self, sql: str) -> None:
        """Run a statement whose failure leaves the transaction usable."""
        self.execute(sql)

    def load(self, into: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
        """Insert columns of batches."""
        raise NotImplementedError

    def upsert(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Insert rows by ``event_key``, the last of each replacing all before it; ``batches`` can be read again."""
        raise NotImplementedError

    def now(self) -> dt.datetime:
        """Return the time by the server's clock on PostgreSQL, MariaDB and MySQL; else by this worker's."""
        return dt.datetime.now(UTC)

    def instant(self, value: dt.datetime) -> Any:
        """Return an instant in UTC as a value for the driver."""
        return value

    def temp_table_ddl(self, columns: Sequence[str]) -> str:
        """Return the end of ``CREATE TEMPORARY TABLE`` for these columns."""
        return f"AS SELECT {self.columns(columns)} FROM {self.target} WHERE 1 = 0"

    # Common to all databases.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def quote(self, name: str) -> str:
        """Return a column's name, quoted where SQL needs it."""
        return self.dialect.identifier_preparer.quote(name)

    def columns(self, names: Iterable[str]) -> str:
        """Return a list of columns for SQL."""
        return ", ".join(map(self.quote, names))

    def assignments(self, new: str) -> str:
        """Return the assignments of an upsert; ``new`` is the form of a new value, such as ``excluded.{}``."""
        return ", ".join(f"{name} = {new.format(name)}" for name in map(self.quote, NEWS))

    def check(self, scope: Scope) -> None:
        """Prove that the table can be written, or made, by doing all that a commit does without committing it.

        Raises:
            ValueError: it cannot; the message lists every reason.
        """
        with refusing(self):
            shape = self.shape()
            if shape is not None:
                refuse_unfit(self, shape)
            elif (schema := self.name.schema) and schema.casefold() not in map(str.casefold, self.schemas()):
                raise ValueError(f"there is no schema {schema!r}; make it: CREATE SCHEMA {self.quote(schema)}")
            self.check_place(shape is not None)
            if shape is not None:
                prove_rights(self)
                if self.disposition == "replace":
                    refuse_other_kind(self, scope)
                elif self.disposition == "merge":
                    check_table_keys(self, scope)
            self.rehearse(scope, shape)

    def rehearse(self, scope: Scope, shape: Shape | None) -> None:
        """Do what a commit does, with a sample row that replaces another. The end of the session rolls it back."""
        if shape is None or self.disposition != "append":
            self.lock()
            shape = self.shape()
        if shape is not None:
            refuse_unfit(self, shape)
        elif not self.try_make():
            return
        self.prepare_pulls(make=self.transactional_ddl, say=False)
        pull = Pull(scope.list_id, "", nowhere(scope).window, dt.datetime.now(UTC))
        before, after = samples(scope)
        if shape is not None and self.disposition != "append":
            self.append([before])  # so that there is a row to replace
        self.write(around(scope), pull, [after], [])
        refuse_lost_row(self, before, after)

    def prepare_pulls(self, *, make: bool, say: bool) -> None:
        """Use the table of pulls, where the database allows it; see ``Pulls.prepare``."""
        if self.disposition != "append":
            most = min(self.max_identifier_bytes, self.dialect.max_identifier_length)
            pulls = Pulls(self, Name(pulls_table_name(self.name.table, most), self.schema_of_table()))
            self._pulls = pulls if pulls.prepare(make=make, say=say) else None

    def try_make(self) -> bool:
        """Make the table, or prove that it could be made; return whether there is now a table to write."""
        self.make()
        return True

    def ensure(self) -> None:
        """Make the table, its index and the table of its pulls, where missing.

        Raises:
            ValueError: the table does not fit any more.
        """
        shape = self.shape()
        if self.disposition != "append" or shape is None or not shape.has_index():
            self.lock()
            shape = self.shape()
        if shape is None:
            self.make()
        else:
            refuse_unfit(self, shape)
            if not shape.has_index():
                self._add_index()
        self.prepare_pulls(make=True, say=True)
        if shape is None and self._pulls:
            self._pulls.clear()
        self.begin_after_ddl()

    def make(self) -> None:
        """Make the table and its index."""
        for ddl in table.create(self.table, self.dialect):
            self.execute(ddl)

    def write(
        self, scope: Scope, pull: Pull | None, batches: Iterable[pa.RecordBatch], foreign: Iterable[pa.RecordBatch]
    ) -> int:
        """Write the rows of a pull, except where later pulls of the same list and lookups have written.

        There a replacement changes nothing, and a merge adds only the events that the table lacks, as if the earlier
        pull had been the first to commit.

        Returns:
            The number of rows that were left out.
        """
        if pull is None or self._pulls is None:
            self.put(scope, batches, foreign)
            return 0
        self.overtaken = self._pulls.later(pull)
        if not self.overtaken:
            self.put(scope, batches, foreign)
            self._pulls.note(pull)
            return 0
        whole = cover(self.overtaken, pull.window)
        with Spool() as left:
            count = sum(batch.num_rows - self._leave_out(batch, left) for batch in slices(batches))
            if not whole or self.disposition == "merge":
                outside = (batch.filter(pc.invert(within(batch, self.overtaken))) for batch in foreign)
                self.put(scope, SpoolReader(left, None), outside)
        if not whole:
            self._pulls.note(pull)
        return count

    def _leave_out(self, batch: pa.RecordBatch, left: Spool) -> int:
        """Spool the rows of a batch that are to be written, and return their number."""
        out: Any = within(batch, self.overtaken)
        if self.disposition == "merge":
            held = self._held(batch.filter(out).column("event_key").to_pylist())
            out = pc.and_(out, pc.is_in(batch.column("event_key"), text_array(held)))
        rows = batch.filter(pc.invert(out))
        left.add(rows)
        return rows.num_rows

    def _held(self, keys: list[Any]) -> list[str]:
        """Return the given keys that are in the table."""
        key = self.quote("event_key")
        held: list[Any] = []
        for at in range(0, len(keys), LISTED):
            some = keys[at : at + LISTED]
            marks = ", ".join("?" * len(some))
            held += self.execute(f"SELECT {key} FROM {self.target} WHERE {key} IN ({marks})", *some)
        return [found for (found,) in held]

    def put(self, scope: Scope, batches: Iterable[pa.RecordBatch], foreign: Iterable[pa.RecordBatch]) -> None:
        """Write rows by the write disposition; ``foreign`` are those of another list than the scope's."""
        if self.disposition == "merge":
            self.upsert(batches)
        elif self.disposition == "replace":
            refuse_other_kind(self, scope)
            self.replace(scope, batches, foreign)
        else:
            self.append(batches)

    def replace(self, scope: Scope, batches: Iterable[pa.RecordBatch], foreign: Iterable[pa.RecordBatch]) -> None:
        """Replace the rows of the scope.

        Args:
            scope: the list, the lookups and the window.
            batches: all rows.
            foreign: those of another list than was asked for. They are no part of the scope, but this or an earlier
                pull may have written them.
        """
        where, values = self.where(scope)
        if scope.lookups is not None:
            staged = self.stage("lookups", LOOKUP, lookups(scope.lookups))
            where += f" AND {self._among(staged, LOOKUP, self.eq)}"
        self.execute(f"DELETE FROM {self.target} WHERE {where}", *values)
        self._delete_again(foreign)
        self.append(batches)

    def where(self, scope: Scope) -> tuple[str, list[Any]]:
        """Return the condition, and its values, that a row is of the scope's list and window and of no later pull."""
        condition, values = f"{self.quote('list_id')} = ?", [scope.list_id]
        for window, how in ((scope.window, "{}"), *((each, "NOT ({})") for each in self.overtaken)):
            if bounds := window.bounds:
                inside = " AND ".join(f"{self.quote('datetime')} {compare} ?" for compare, _ in bounds)
                condition += f" AND {how.format(inside)}"
                values += [self.instant(end) for _, end in bounds]
        return condition, values

    def append(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Add rows."""
        self.load(self.target, COLUMNS, batches)

    def stage(self, name: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> str:
        """Load batches into a temporary table, and return its name."""
        table = f"{self.temp_prefix}altcraft_{name}"
        self.execute(f"CREATE TEMPORARY TABLE {table} {self.temp_table_ddl(columns)}")
        self.load(table, columns, batches)
        self.index(name, table, columns)
        return table

    def index(self, name: str, table: str, columns: Sequence[str]) -> None:
        """Make a temporary table's index, once its rows are there."""
        self.execute(f"CREATE INDEX altcraft_{name}_ix ON {table} ({self.columns(columns[:1])})")

    def _delete_again(self, foreign: Iterable[pa.RecordBatch]) -> None:
        first = next(iter(foreign := iter(foreign)), None)
        if first is not None:
            staged = self.stage("foreign", IDENTITY, chain([first], foreign))
            self.execute(f"DELETE FROM {self.target} WHERE {self._among(staged, IDENTITY, self.null_safe_eq)}")

    def _among(self, staged: str, columns: Sequence[str], how: str) -> str:
        """Return the condition that a row of the table equals one of a temporary table in some columns."""
        likeness = " AND ".join(
            how.format(f"staged.{self.quote(name)}", f"{self.target}.{self.quote(name)}") for name in columns
        )
        return f"EXISTS (SELECT 1 FROM {staged} staged WHERE {likeness})"

    def _add_index(self) -> None:
        for ddl in table.create_index(self.table, self.dialect):
            try:
                self.try_ddl(ddl)
            except Exception as error:  # whatever a driver raises: the rows are worth more than their index
                log.warning("%s: the index could not be made: %s; the owner can: %s", self.name, message_of(error), ddl)
