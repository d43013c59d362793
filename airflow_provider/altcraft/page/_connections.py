"""The connections that the menu's page lists: those of Airflow's database, each with its last test."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from airflow.models.connection import Connection
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from sqlalchemy import select  # noqa: TID253 - only the API server imports this module
from sqlalchemy.orm import Session  # noqa: TID253 - the same

from airflow_provider.altcraft._airflow.connection_tests import ConnectionTest, keep_test, last_tests
from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.page._pull_view import clock

log = logging.getLogger(__name__)

_MOST: Final = 100
_NOT_READ: Final = (
    "Airflow cannot read this connection: its Fernet key has changed, or its extra fields are no JSON object"
)


@dataclass(frozen=True, slots=True)
class ConnectionLine:
    """A connection, and its last test, if there is one; ``testable`` where the viewer may test it here."""

    conn_id: str
    address: str
    database: str
    test: ConnectionTest | None
    tested_at: str
    testable: bool


@dataclass(frozen=True, slots=True)
class Connections:
    """The connections that are listed, and whether there are more."""

    lines: list[ConnectionLine]
    more: bool


def connection_lines(session: Session, is_allowed: Callable[[Literal["GET", "POST"], str], bool]) -> Connections:
    """Return the first hundred of the connections to the platform that the viewer may see.

    Args:
        session: of Airflow's database.
        is_allowed: whether the viewer may see a connection (``GET``), or test it (``POST``), by its id.
    """
    query = (
        # Not the connection itself: to load it, Airflow decrypts it, which fails where its key has changed.
        select(Connection.id, Connection.conn_id, Connection.host)
        .where(Connection.conn_type == AltcraftHook.conn_type)
        .order_by(Connection.conn_id)
    )
    seen = (row for row in session.execute(query).all() if is_allowed("GET", row.conn_id))
    lines, tests = list(islice(seen, _MOST)), last_tests(session)
    return Connections(
        [
            ConnectionLine(
                conn_id=row.conn_id,
                address=_without_secrets(row.host or ""),
                database=_database(session, row.id),
                test=(test := tests.get(row.conn_id)),
                tested_at="" if test is None else f"{clock(test.at, 'UTC')} UTC",
                testable=is_allowed("POST", row.conn_id),
            )
            for row in lines
        ],
        more=next(seen, None) is not None,
    )


def _without_secrets(host: str) -> str:
    """Mask what has no place in a host: a login, a query, a fragment."""
    return re.sub(r"(?s)([?#]).+", r"\1…", re.sub(r"(?s)^(\w+://)?.*@", r"\1***@", host))


def _database(session: Session, number: int) -> str:
    try:
        connection = session.get(Connection, number)
        found = None if connection is None else connection.extra_dejson.get("list_id")
    except Exception as error:  # Airflow raises several kinds, by its version and by what is wrong
        log.warning("A connection cannot be read: %s", type(error).__name__)
        return "cannot be read"
    return "" if found is None else str(found)


def run_test(session: Session, conn_id: str, owner: str) -> bool:
    """Test a connection, and keep what came of it; ``False`` where Airflow's database has no such connection."""
    query = select(Connection.conn_id).where(
        Connection.conn_id == conn_id, Connection.conn_type == AltcraftHook.conn_type
    )
    if session.scalar(query) is None:
        return False
    session.commit()  # so that no transaction stays open while the platform is waited for
    try:
        status, message = AltcraftHook(conn_id).test_connection()
    except AirflowNotFoundException:
        status, message = False, _NOT_READ
    keep_test(session, conn_id, status=status, message=redacted(message), owner=owner)
    session.commit()
    return True
