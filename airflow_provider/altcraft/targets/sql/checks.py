"""The checks of a session: a table that does not fit, rows of the other kind of pull, and missing rights."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa  # noqa: TID253 - imported by a writer, at run time

from airflow_provider.altcraft._arrow import instant_of
from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.targets.sql import table
from airflow_provider.altcraft.targets.sql.connection import Connection
from airflow_provider.altcraft.targets.sql.errors import denied, message_of, of_list, of_values, refused
from airflow_provider.altcraft.targets.sql.names import Name
from airflow_provider.altcraft.targets.sql.rules import Shape

log = logging.getLogger(__name__)


def refuse_unfit(session: Connection, shape: Shape) -> None:
    """Refuse a table that does not fit, or a view of its name, with the DDL that helps.

    Raises:
        ValueError: it is not a table, or one that does not fit.
    """
    if shape.instead:
        other = table.define(
            Name(f"{session.name.table}_table", session.name.schema),
            session.rules,
            session.disposition,
            max_identifier_bytes=session.max_identifier_bytes,
        )
        ddl = " ".join(table.create(other, session.dialect)[0].split())
        raise ValueError(
            f"{shape.instead} has this name, and only a table can be written. Name a table; one that is not there "
            f"is made by the pull, or by you: {ddl};"
        )
    found = table.differences(session.table, shape, session.rules, session.disposition, session.dialect)
    if found:
        reasons = "".join(f"\n- {what}" + (f": {ddl};" if ddl else "") for what, ddl in found)
        raise ValueError(f"the table is there but does not fit write_disposition={session.disposition!r}:{reasons}")


def refuse_other_kind(session: Connection, scope: Scope) -> None:
    """Refuse a table with rows of profiles for a whole database, or the reverse: events would be there twice."""
    where, values = session.where(scope)
    database = scope.lookups is None
    where += f" AND {session.quote('lookup')} IS {'NOT NULL' if database else 'NULL'}"
    ((count,),) = session.execute(f"SELECT count(*) FROM {session.target} WHERE {where}", *values)
    if count:
        theirs, ours = ("profiles", "a whole database") if database else ("a whole database", "profiles")
        shown = "".join(
            f" AND {session.quote('datetime')} {compare} '{end.isoformat(' ')}'" for compare, end in scope.window.bounds
        )
        raise ValueError(
            f"the table holds {counted(count, 'row')} that a pull of {theirs} wrote for list {scope.list_id} "
            f"and this window, and this is a pull of {ours}: with write_disposition='replace' one table "
            f"takes one of the two. "
            f"Name another table, use write_disposition='merge', which keeps each event once, or delete the rows: "
            f"DELETE FROM {session.target} WHERE {session.quote('list_id')} = {scope.list_id}{shown}"
            f" AND {session.quote('lookup')} IS {'NOT NULL' if database else 'NULL'};"
        )


def refuse_lost_row(session: Connection, before: pa.RecordBatch, after: pa.RecordBatch) -> None:
    """Refuse a table that does not hold a row as it was written last: a pull would end in success with other rows.

    Args:
        session: has written both rows, the first only where the disposition replaces rows.
        before: the row that was to be replaced.
        after: the same event, with another ``count``.
    """
    where = " AND ".join(f"{session.quote(name)} = ?" for name in ("list_id", "datetime", "event_key"))
    list_id, at, key = (after.column(name)[0] for name in ("list_id", "datetime", "event_key"))
    values = list_id.as_py(), session.instant(instant_of(at)), key.as_py()
    held = session.execute(f"SELECT {session.quote('count')} FROM {session.target} WHERE {where}", *values)
    advice = "Name a table without, and let that one fill yours"
    if not held:
        raise ValueError(
            f"the table accepted a row but does not hold it: one of its triggers or policies drops, changes or "
            f"hides rows. {advice}"
        )
    if len(held) > 1 or held[0][0] == before.column("count")[0].as_py():
        done, kept = ("deleted", "double rows") if session.disposition == "replace" else ("updated", "keep old values")
        raise ValueError(
            f"the table still holds a row that a statement has {done}: one of its triggers, rules or policies undoes "
            f"that, so write_disposition={session.disposition!r} would {kept}. {advice}"
        )


@contextmanager
def refusing(session: Connection) -> Iterator[None]:
    """Raise a ``ValueError`` for an error that no retry would change; ignore one that only the sample row causes."""
    try:
        yield
    except Exception as error:  # whatever a driver raises
        if of_values(error) and not of_list(error):
            log.debug("%s: the row that was tried does not fit: %s", session.name, type(error).__name__)
        elif refused(error) or of_list(error):
            raise ValueError(
                f"the database refuses what a commit of write_disposition={session.disposition!r} does: "
                f"{message_of(error)}"
            ) from None
        else:
            raise


def prove_rights(session: Connection) -> None:
    """Run the statements of a commit without effect; name the GRANT for a right that is missing."""
    columns, key = session.columns(COLUMNS), session.quote("event_key")
    insert = f"INSERT INTO {session.target} ({columns}) SELECT {columns} FROM {session.target} WHERE 1 = 0"
    rights, more = {
        "merge": (", UPDATE", [f"UPDATE {session.target} SET {key} = {key} WHERE 1 = 0"]),
        "replace": (", DELETE", [f"DELETE FROM {session.target} WHERE 1 = 0"]),
        "append": ("", []),
    }[session.disposition]
    with proving_right(f"write the table: GRANT SELECT, INSERT{rights} ON {session.target} TO …"):
        for each in (insert, *more):
            session.execute(each)


@contextmanager
def proving_right(what: str) -> Iterator[None]:
    """Raise a ``ValueError`` that names what the user may not do."""
    try:
        yield
    except Exception as error:  # whatever a driver raises
        if not denied(error):
            raise
        raise ValueError(f"{message_of(error)}; the connection's user may not {what}") from None
