"""The kind of event keys in a table, so that a merge never holds an event by two kinds of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa  # noqa: TID253 - imported by a writer, at run time

from airflow_provider.altcraft.targets._protocols import check_keys

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets._protocols import Scope
    from airflow_provider.altcraft.targets.sql.connection import Connection

_ROWS = 100
"""Rows that are looked at on each side of the window."""


def check_table_keys(session: Connection, scope: Scope) -> None:
    """Refuse a table, which is there, whose rows of the window have keys of another kind.

    Raises:
        ValueError: it has some, among the first and the last rows of the window.
    """
    table = session.table
    where, values = session.where(scope)
    query = sa.select(table.c.event_key, table.c.event_id).where(sa.text(where))
    for order in (table.c.datetime.asc(), table.c.datetime.desc()):
        limited = query.order_by(order).limit(_ROWS)
        sql = str(limited.compile(dialect=session.dialect, compile_kwargs={"literal_binds": True}))
        check_keys(session.execute(sql, *values), scope)
