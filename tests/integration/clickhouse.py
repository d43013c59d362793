"""ClickHouse's engine as a server of a test's own, seen by its client alone and so without anything under test.

``make test-clickhouse`` brings the engine, which is too large for every run.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.targets.sql import SqlTarget
from tests.integration.databases import define
from tests.ports import free_port

DATABASE = "altcraft"


class ClickHouse:
    """A server, up, with an empty database behind an Airflow connection; ``stop`` and ``start`` take turns."""

    def __init__(self, folder: str) -> None:
        self.port = free_port()
        self._folder = folder
        self.conn_id = define(
            f"clickhouse_{uuid.uuid4().hex[:8]}",
            conn_type="clickhouse",
            host="127.0.0.1",
            port=self.port,
            schema=DATABASE,
        )

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        program = str(Path(__file__).with_name("clickhouse_server.py"))
        command = [sys.executable, program, str(self.port), self._folder]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"up\n", "the server ended"

    def stop(self) -> None:
        """End it without a farewell."""
        self._process.kill()
        self._process.wait(60)
        self._process.stdout.close()  # type: ignore[union-attr]

    def target(self, table: str, write_disposition: str = "merge") -> SqlTarget:
        """Give a target for a table of this database."""
        return SqlTarget(self.conn_id, table, write_disposition)  # type: ignore[arg-type]

    def new_table(self) -> str:
        """Give the name of a table that is not there."""
        return f"events_{uuid.uuid4().hex[:12]}"

    @contextlib.contextmanager
    def connect(self) -> Iterator[Any]:
        """Connect by the driver."""
        import clickhouse_connect

        client = clickhouse_connect.get_client(host="127.0.0.1", port=self.port, database=DATABASE)
        try:
            yield client
        finally:
            client.close()

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement, and give its rows."""
        with self.connect() as client:
            if sql.lstrip().upper().startswith(("SELECT", "SHOW", "WITH")):
                return [tuple(row) for row in client.query(sql).result_rows]
            client.command(sql)
            return []

    def tables(self) -> set[str]:
        """Names of the tables that any connection finds."""
        return {name for (name,) in self.execute(f"SELECT name FROM system.tables WHERE database = '{DATABASE}'")}

    def rows(self, table: str, final: str = "FINAL") -> list[dict[str, Any]]:
        """What a reader sees: the rows as ``RecordBatch.to_pylist`` gives them, in no order."""
        columns = [f"toUnixTimestamp64Micro({name})" if name == "datetime" else name for name in COLUMNS]
        found = self.execute(f"SELECT {', '.join(columns)} FROM `{table}` {final}")
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in found]
        for row in rows:
            row["datetime"] = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=row["datetime"])
        return rows


@contextlib.contextmanager
def own_server() -> Iterator[ClickHouse]:
    """A server in a folder of its own, up."""
    if importlib.util.find_spec("chdb") is None:
        pytest.skip("no engine: make test-clickhouse brings ClickHouse's engine")
    with tempfile.TemporaryDirectory(prefix="altcraft-clickhouse-") as folder:
        server = ClickHouse(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
