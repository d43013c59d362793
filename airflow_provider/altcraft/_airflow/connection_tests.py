"""Tests of connections, kept in Airflow's audit log, which both the page and the command line write."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

EVENT: Final = "altcraft_connection_test"
"""The event's name in the audit log. Its ``extra`` is JSON: ``conn_id``, ``status``, ``message``."""

_LOOKED_AT: Final = 500
"""Entries among which the last test of each connection is looked for; the page and its documentation name it."""

_LONGEST: Final = 1000
"""Characters of a message that are kept."""


@dataclass(frozen=True, slots=True)
class ConnectionTest:
    """A test of a connection: when and by whom, whether it went well, and what it said."""

    at: dt.datetime
    owner: str
    status: bool
    message: str


def keep_test(session: Session, conn_id: str, *, status: bool, message: str, owner: str) -> None:
    """Add a test to the audit log; the caller commits."""
    from airflow.models.log import Log

    extra = json.dumps({"conn_id": conn_id, "status": status, "message": message[:_LONGEST]})
    session.add(Log(event=EVENT, owner=owner, extra=extra))


def last_tests(session: Session) -> Mapping[str, ConnectionTest]:
    """Return the last test of each connection id, as far as it is among the last 500 that the audit log has."""
    from airflow.models.log import Log
    from sqlalchemy import select

    query = select(Log.dttm, Log.owner, Log.extra).where(Log.event == EVENT).order_by(Log.id.desc()).limit(_LOOKED_AT)
    found: dict[str, ConnectionTest] = {}
    rows: Any = session.execute(query)  # whose columns may be null
    for at, owner, extra in rows:
        try:
            kept = json.loads(extra)
            conn_id, test = kept["conn_id"], ConnectionTest(at, owner, kept["status"], kept["message"])
        except (TypeError, ValueError, KeyError):
            continue  # what others have written under this name is no test
        if isinstance(conn_id, str):
            found.setdefault(conn_id, test)
    return found
