"""The lock of a ClickHouse table: one commit writes it at a time, and removes what killed commits have staged.

ClickHouse has no lock that ends with its holder. So a commit makes a table ``…_altcraft_lock``, which can exist only
once, and changes its comment from time to time to show that it lives. Another commit waits for the lock, and takes it
over once the comment has not changed for ``Turn.lease`` seconds.

The lock alone is not safe, as its holder may only have been slow. So the new holder first drops the staged tables of
all others, which waits for statements that use them, and reads the table after that. The next statement of the old
holder fails, so no day is replaced by a commit that has not read what the table held.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from typing import ClassVar, Self

from clickhouse_connect.driver.exceptions import Error

from airflow_provider.altcraft.targets._writer import InTheWayError
from airflow_provider.altcraft.targets.sql.clickhouse.server import ALREADY_THERE, Server, code_of, text
from airflow_provider.altcraft.targets.sql.clickhouse.table import full_name
from airflow_provider.altcraft.targets.sql.names import Name

log = logging.getLogger(__name__)

STAGED = "altcraft_[0-9a-f]{32}"
"""The name of a table of staged rows, after the table's name and an underscore."""


class Turn:
    """The right to write a table, held within a ``with`` block.

    Args:
        server: the connection.
        name: the table, with its database.
    """

    lease: ClassVar[float] = 60.0
    """Seconds without a sign of life after which a lock may be taken over."""

    poll: ClassVar[float] = 0.2
    """Seconds between two polls of another's lock."""

    def __init__(self, server: Server, name: Name) -> None:
        self._server = server
        self._name = name
        self._token = uuid.uuid4().hex
        self._beats = 0
        self._made: list[str] = []
        self._lock_name = f"{name.table}_altcraft_lock"
        self._lock = self._full(self._lock_name)

    def __enter__(self) -> Self:
        """Wait for the turn, and drop what others have staged."""
        comment, since = "", time.monotonic()
        while not self._take():
            found = self._comment()
            if found != comment:
                comment, since = found, time.monotonic()
                log.info("%s: another task writes the table; waiting for it", self._name)
            elif time.monotonic() - since > self.lease:
                log.warning("%s: a task that wrote the table has shown no life for %.0f s", self._name, self.lease)
                self._server.run(f"DROP TABLE IF EXISTS {self._lock} SYNC")
            time.sleep(self.poll)
        try:
            for table in self._staged_by_others():
                self._server.run(f"DROP TABLE IF EXISTS {self._full(table)} SYNC")
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Drop what was staged, and release the lock."""
        self._leave()

    def stage(self, definition: str) -> Name:
        """Make a table for staged rows, and return its name.

        Args:
            definition: what stands after ``CREATE TABLE`` and the name.

        Raises:
            InTheWayError: another writer has taken the turn.
        """
        table = f"{self._name.table}_altcraft_{uuid.uuid4().hex}"
        self._made.append(table)
        self._server.run(f"CREATE TABLE {self._full(table)} {definition}")
        self.live()  # only now: a writer that has taken the turn since either drops this table, or is noticed here
        return Name(table, self._name.schema)

    def live(self) -> None:
        """Show life.

        Raises:
            InTheWayError: another writer has taken the turn.
        """
        if not self._is_held():
            raise InTheWayError(
                f"{self._name}: another writer of the table took this one for dead, for it had shown no life for "
                f"{self.lease:.0f} s; a retry may go through"
            )
        self._beats += 1
        self._server.run(f"ALTER TABLE {self._lock} MODIFY COMMENT '{self._token} {self._beats}'")

    def _take(self) -> bool:
        sql = f"CREATE TABLE {self._lock} (owner String) ENGINE = Memory COMMENT '{self._token} 0'"
        try:
            self._server.run(sql)
        except Error as error:
            if code_of(error) != ALREADY_THERE:
                raise
            return False
        return True

    def _comment(self) -> str:
        where = f"database = {text(str(self._name.schema))} AND name = {text(self._lock_name)}"
        found = self._server.rows(f"SELECT comment FROM system.tables WHERE {where}")
        return str(found[0][0]) if found else ""

    def _is_held(self) -> bool:
        return self._comment().startswith(self._token)

    def _staged_by_others(self) -> list[str]:
        before = f"{self._name.table}_"
        found = self._server.rows(
            f"SELECT name FROM system.tables WHERE database = {text(str(self._name.schema))}"
            f" AND startsWith(name, {text(before)})"
            f" AND match(substring(name, {len(before.encode()) + 1}), '^{STAGED}$')"
        )
        return [name for (name,) in found]

    def _leave(self) -> None:
        with contextlib.suppress(Error):  # of a server that is away; the next writer removes it
            for table in self._made:
                self._server.run(f"DROP TABLE IF EXISTS {self._full(table)} SYNC")
            if self._is_held():
                self._server.run(f"DROP TABLE IF EXISTS {self._lock} SYNC")

    def _full(self, table: str) -> str:
        return full_name(Name(table, self._name.schema))
