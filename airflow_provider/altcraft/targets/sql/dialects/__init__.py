"""The dialects: how each database creates the table, takes rows and commits them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets.sql.session import Session

_SESSIONS = {
    "duckdb": "duckdb.DuckDbSession",
    "mssql": "generic.SqlServerSession",
    "mysql": "mysql.MySqlSession",
    "postgres": "postgres.PostgresSession",
    "sqlite": "sqlite.SqliteSession",
}
"""By the type of the connection: the module and class of those with a path of their own."""


def session_class(conn_type: str) -> type[Session]:
    """Return the session of databases that are reached by connections of this type."""
    module, name = _SESSIONS.get(conn_type, "generic.OtherSession").split(".")
    found: type[Session] = getattr(import_module(f"{__name__}.{module}"), name)
    return found
