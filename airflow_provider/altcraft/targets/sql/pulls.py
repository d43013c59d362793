"""The table ``…_pulls`` next to a target's table: which pulls have written it, and when each began.

An earlier pull must never replace the rows of a later one. So each commit of a merge or a replacement notes its list,
lookups and window, and when the pull began, by the clock of ``Session.now``. A pull that began earlier but
commits later reads these notes, under the same lock and in the same transaction, and leaves the later pulls' windows
as they are.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa  # noqa: TID253 - imported by a writer, at run time
from sqlalchemy.dialects import mysql  # noqa: TID253 - the same

from airflow_provider.altcraft.targets._order import lookups_digest, say_overtaken
from airflow_provider.altcraft.targets.sql import table
from airflow_provider.altcraft.targets.sql.errors import message_of, refused
from airflow_provider.altcraft.targets.sql.names import Name
from airflow_provider.altcraft.window import UTC, Window

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets._protocols import Scope
    from airflow_provider.altcraft.targets.sql.connection import Connection

log = logging.getLogger(__name__)

KEY = ("list_id", "lookups", "window_start", "window_end")
COLUMNS = (*KEY, "began")

_KEPT = dt.timedelta(days=30)
"""Notes are kept for longer than any pull takes."""

# Instants are texts that sort by time: drivers and databases differ in the first and last instants that they take.
_OPEN_START, _OPEN_END = "0001-01-01T00:00:00.000000", "9999-12-31T23:59:59.999999"


def pulls_table_name(name: str, max_identifier_bytes: int) -> str:
    """Return the name of the table of pulls, a digest where it would be too long."""
    own = f"{name}_pulls"
    if len(own.encode()) <= max_identifier_bytes:
        return own
    return f"altcraft_pulls_{blake2b(name.encode(), digest_size=8).hexdigest()}"


def define(name: Name, main: sa.Table) -> sa.Table:
    """Return the definition of the table of pulls, with the options of the target's table."""
    collation = main.kwargs.get("mysql_collate")
    text: Any = mysql.VARCHAR(32, collation=collation) if collation else sa.String(32)
    options: dict[str, Any] = {key: main.kwargs[key] for key in main.kwargs if key.startswith("mysql_")}
    columns: list[Any] = [
        sa.Column("list_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        *(sa.Column(each, text, primary_key=True) for each in KEY[1:]),
        sa.Column("began", text, nullable=False),
    ]
    found: sa.Table = sa.Table(name.table, sa.MetaData(), *columns, schema=name.schema, **options)
    return found


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull as it is noted: its scope, with the lookups as a digest, and when it began."""

    list_id: int
    lookups: str
    window: Window
    began: dt.datetime

    @classmethod
    def of(cls, scope: Scope, began: dt.datetime) -> Self:
        """Return the pull of a scope."""
        return cls(scope.list_id, lookups_digest(scope), scope.window, began)


class Pulls:
    """The pulls of the table that a session writes.

    Args:
        session: in its transaction the notes are read and written.
        place: the schema and name of the table of pulls.
    """

    def __init__(self, session: Connection, place: Name) -> None:
        self._session = session
        self._place = place
        self.table = define(place, session.table)
        self._target = session.dialect.identifier_preparer.format_table(self.table)

    def prepare(self, *, make: bool, say: bool) -> bool:
        """Make the table where missing, and prove the rights to it.

        Args:
            make: whether to make a missing table.
            say: whether to log why the table cannot be used.

        Returns:
            Whether it can be used; else the pull goes on without it.
        """
        session = self._session
        (ddl,) = table.create(self.table, session.dialect)
        try:
            found = session.columns_of(self._place)
            if found and found != set(COLUMNS):
                if say:
                    log.warning(
                        "%s: the table %s was not made by this package (its columns are not %s), so it is left "
                        "alone, and nothing keeps an earlier pull that commits later from replacing what a later one "
                        "has written. Rename it, and the next pull makes one",
                        session.name,
                        self._place,
                        ", ".join(COLUMNS),
                    )
                return False
            if not found:
                if not make:
                    return False
                session.try_ddl(ddl)
            for each in self._proofs():
                session.try_ddl(each)
        except Exception as error:  # whatever a driver raises
            if not refused(error):
                raise
            if say:
                log.info(
                    "%s: the connection's user may not make or write the table %s (%s), so nothing keeps an earlier "
                    "pull that commits later from replacing what a later one has written. An administrator can: %s; "
                    "GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO …",
                    session.name,
                    self._place,
                    message_of(error),
                    " ".join(ddl.split()),
                    self._target,
                )
            return False
        return True

    def clear(self) -> None:
        """Forget all pulls: the table that they wrote was dropped."""
        self._session.execute(f"DELETE FROM {self._target}")

    def later(self, pull: Pull) -> list[Window]:
        """Return the windows of the later pulls of the same list and lookups, and log what each has written."""
        start, end = _texts(pull.window)
        found = self._session.execute(
            f"SELECT {self._columns('window_start', 'window_end', 'began')} FROM {self._target}"
            f" WHERE {self._where(list_id='=', lookups='=', began='>', window_start='<', window_end='>')}",
            *(pull.list_id, pull.lookups, _text(pull.began), end, start),
        )
        found = sorted(map(tuple, found))
        for other_start, other_end, began in found:
            part = f"{max(start, other_start)}Z to {min(end, other_end)}Z"
            say_overtaken(f"{self._session.name}, {part}", f"{began}Z")
        return [_window(*borders) for *borders, _ in found]

    def note(self, pull: Pull) -> None:
        """Note a pull in place of those that it covers."""
        execute, began = self._session.execute, _text(pull.began)
        key = (pull.list_id, pull.lookups, *_texts(pull.window))
        same = self._where(**dict.fromkeys(KEY, "="))
        execute(f"DELETE FROM {self._target} WHERE {self._where(began='<')}", _text(pull.began - _KEPT))
        covered = self._where(list_id="=", lookups="=", window_start=">=", window_end="<=", began="<=")
        execute(f"DELETE FROM {self._target} WHERE {covered} AND NOT ({same})", *key, began, *key)
        # Not every database's key takes a row that one transaction deletes and inserts again.
        if execute(f"SELECT 1 FROM {self._target} WHERE {same}", *key):
            execute(f"UPDATE {self._target} SET {self._columns('began')} = ? WHERE {same}", began, *key)
        else:
            execute(f"INSERT INTO {self._target} ({self._columns(*COLUMNS)}) VALUES (?, ?, ?, ?, ?)", *key, began)

    def _proofs(self) -> list[str]:
        """Return statements without effect that need each of the rights."""
        columns, began = self._columns(*COLUMNS), self._columns("began")
        return [
            f"INSERT INTO {self._target} ({columns}) SELECT {columns} FROM {self._target} WHERE 1 = 0",
            f"UPDATE {self._target} SET {began} = {began} WHERE 1 = 0",
            f"DELETE FROM {self._target} WHERE 1 = 0",
        ]

    def _columns(self, *names: str) -> str:
        return self._session.columns(names)

    def _where(self, **compared: str) -> str:
        return " AND ".join(f"{self._columns(name)} {how} ?" for name, how in compared.items())


def cover(windows: Sequence[Window], window: Window) -> bool:
    """Return whether windows, in the order of their starts, together cover another one."""
    at, until = _texts(window)
    for start, end in map(_texts, windows):
        if start > at:
            return False
        at = max(at, end)
    return at >= until


def _text(instant: dt.datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def _texts(window: Window) -> tuple[str, str]:
    start = _OPEN_START if window.start is None else _text(window.start)
    return start, _OPEN_END if window.end is None else _text(window.end)


def _window(start: str, end: str) -> Window:
    return Window(
        None if start == _OPEN_START else dt.datetime.fromisoformat(start).replace(tzinfo=UTC),
        None if end == _OPEN_END else dt.datetime.fromisoformat(end).replace(tzinfo=UTC),
    )
