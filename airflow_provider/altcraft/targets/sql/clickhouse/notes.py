"""The table ``…_pulls`` next to a ClickHouse table: which pulls have replaced its rows, and when each began.

An earlier pull must never replace the rows of a later one, see ``sql.pulls``. A merge needs no notes: ``pulled_at`` of
each row says when its pull began, and the engine keeps the latest.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from airflow_provider.altcraft.targets._day_writer import commit_properties
from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.targets.sql.clickhouse.server import Server, text
from airflow_provider.altcraft.targets.sql.clickhouse.table import full_name
from airflow_provider.altcraft.targets.sql.names import Name

_COLUMNS: Final = ("list_id", "lookups", "window_start", "window_end", "began")

DEFINITION: Final = (
    f"({', '.join(f'{name} String' for name in _COLUMNS)}, noted_at DateTime DEFAULT now())"
    f" ENGINE = MergeTree ORDER BY (list_id, lookups) TTL noted_at + INTERVAL 30 DAY"
)


class Notes:
    """The pulls of a table.

    Args:
        server: the connection.
        name: the written table, with its database.
    """

    def __init__(self, server: Server, name: Name) -> None:
        self._server = server
        self._table = full_name(Name(f"{name.table}_pulls", name.schema))

    def make(self) -> None:
        """Make the table where missing."""
        self._server.run(f"CREATE TABLE IF NOT EXISTS {self._table} {DEFINITION}")

    def read(self) -> Iterator[dict[str, str]]:
        """Yield each pull, as ``commit_properties`` gives it."""
        for row in self._server.rows(f"SELECT {', '.join(_COLUMNS)} FROM {self._table}"):
            yield {f"altcraft.{name}": value for name, value in zip(_COLUMNS, row, strict=True)}

    def add(self, scope: Scope, began: dt.datetime) -> None:
        """Note a pull."""
        noted = commit_properties(scope, "replace", began)
        values = ", ".join(text(noted[f"altcraft.{name}"]) for name in _COLUMNS)
        self._server.run(f"INSERT INTO {self._table} ({', '.join(_COLUMNS)}) VALUES ({values})")
